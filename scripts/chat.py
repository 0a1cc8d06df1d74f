"""Talk to a run in the terminal, or ask it once:

    python scripts/chat.py demo-sft
    python scripts/chat.py demo-sft --temperature 0 -p "Write an FOI request to TfL about biscuits"
"""
from trionyx.core import launch
from trionyx.serve import chat

if __name__=='__main__': launch(chat, short=dict(prompt='p'))
