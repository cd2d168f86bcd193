"""Answers remembered: repeated questions are answered without the model. Off unless asked for."""
