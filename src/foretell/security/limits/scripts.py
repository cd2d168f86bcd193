"""The sliding window as Redis runs it: each script in one go, so that no other caller counts in between.

A bucket is a hash from the number of a part to what was counted in it; it ends by itself once the window has passed.
The time is Redis's own, in milliseconds.
"""

from __future__ import annotations

PARTS = 20

TAKE = b"""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local parts, shares = tonumber(ARGV[1]), tonumber(ARGV[2])
local portion = {tonumber(ARGV[5]), tonumber(ARGV[6])}
local refusal
for i, key in ipairs(KEYS) do
  local at = 6 + (i - 1) * 3
  local unit, limit, part_ms = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local need = tonumber(ARGV[2 + unit])
  local newest = math.floor(now / part_ms)
  local all, used, kept, old = redis.call('HGETALL', key), 0, {}, {}
  for j = 1, #all, 2 do
    local part = tonumber(all[j])
    if newest - part > parts then
      old[#old + 1] = all[j]
    else
      used = used + tonumber(all[j + 1])
      kept[#kept + 1] = {part, tonumber(all[j + 1])}
    end
  end
  if #old > 0 then redis.call('HDEL', key, unpack(old)) end
  local left = limit - used
  if left < need then
    table.sort(kept, function(a, b) return a[1] < b[1] end)
    local short, wait = need - left, parts * part_ms
    for _, counted in ipairs(kept) do
      short = short - counted[2]
      if short <= 0 then
        wait = (counted[1] + parts + 1) * part_ms - now
        break
      end
    end
    if not refusal or wait > refusal[4] then refusal = {0, i, math.max(0, left), math.max(0, wait)} end
  else
    portion[unit] = math.min(portion[unit], need + math.floor((left - need) / shares))
  end
end
if refusal then return refusal end
for i, key in ipairs(KEYS) do
  local at = 6 + (i - 1) * 3
  local unit, part_ms = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  if portion[unit] > 0 then
    local newest = math.floor(now / part_ms)
    redis.call('HINCRBY', key, string.format('%.0f', newest), string.format('%.0f', portion[unit]))
    redis.call('PEXPIRE', key, (parts + 2) * part_ms)
  end
end
return {1, portion[1], portion[2], string.format('%.0f', now)}
"""

GIVE = b"""
local now = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local at = 1 + (i - 1) * 2
  local amount, newest = tonumber(ARGV[at + 1]), math.floor(now / tonumber(ARGV[at + 2]))
  for part = newest, newest - 1, -1 do
    local field = string.format('%.0f', part)
    local less = math.min(amount, tonumber(redis.call('HGET', key, field) or '0'))
    if less > 0 then
      redis.call('HINCRBY', key, field, string.format('%.0f', -less))
      amount = amount - less
    end
  end
end
return 1
"""

HOSTS = b"""
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]))
return redis.call('ZCARD', KEYS[1])
"""
