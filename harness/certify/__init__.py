"""Certificates: what a profile asks for, judged; the evidence of it in one signed archive; and checking that again."""
