"""Talk to runs in the browser, and over an API that OpenAI's clients know:

    python scripts/serve.py demo-sft                      then open http://127.0.0.1:8000/
    python scripts/serve.py demo-sft other-sft            side by side
    python scripts/serve.py demo-sft --host 0.0.0.0       for other machines too, which need the token that is printed
"""
from trionyx.core import launch
from trionyx.web import serve

if __name__=='__main__': launch(serve)
