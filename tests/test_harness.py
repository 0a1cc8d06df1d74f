"""lm-evaluation-harness and we give the same answer to every item that both ask, from the same files.

It brings 30 packages, so scripts/test.sh leaves it out. To run this: pip install --target .venv/extra/lm_eval lm_eval -c constraints.txt"""
import json, os, sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
import pytest, torch

ROOT = Path(__file__).resolve().parents[1]
data = Path(os.environ.get('TRIONYX_TEST_DATA', ROOT.parent/'shared/data'))
extra = ROOT/'.venv/extra/lm_eval'
if extra.is_dir(): sys.path.append(str(extra))
if not find_spec('lm_eval'): pytest.skip('lm_eval is not installed (see above)', allow_module_level=True)
if not data.is_dir(): pytest.skip(f'no test data in {data}', allow_module_level=True)
os.environ.update(HF_HUB_OFFLINE='1', HF_DATASETS_OFFLINE='1', TQDM_DISABLE='1')

from trionyx.harness import adapter, evaluate
from trionyx.model import GPT, GPTConfig
from trionyx.sums import read_problems, solve
from trionyx.chats import letter_question
from trionyx.tasks import by_letter, by_likelihood, read_questions
from trionyx.tokenizer import train_tokenizer

ARC = data/'eval_bundle_small/eval_data/world_knowledge/arc_easy.jsonl'
MMLU,GSM = data/'evals/mmlu_test.jsonl.gz',data/'evals/gsm8k_test.jsonl.gz'
LETTERS = '{% for c in choices %}- {{c}}={{"ABCDEFGHIJ"[loop.index0]}}\n{% endfor %}'
CHOICE = 'output_type: multiple_choice\nmetric_list: [{metric: acc}, {metric: acc_norm}]\n'
TASKS = dict(
    our_arc=(ARC, CHOICE+r'doc_to_text: "{{query}}\nAnswer:"'+'\ndoc_to_choice: "{{choices}}"\ndoc_to_target: "{{gold}}"\n'),
    our_mmlu=(MMLU, CHOICE+r'doc_to_text: "Question: {{question}}\nAnswer:"'+'\ndoc_to_choice: "{{choices}}"\ndoc_to_target: "{{answer}}"\n'),
    our_letters=(MMLU, CHOICE+'doc_to_text: '+json.dumps('Multiple Choice question: {{question}}\n'+LETTERS+'\nRespond only with the letter of the correct answer.')
                 +'\ndoc_to_choice: ["A", "B", "C", "D"]\ndoc_to_target: "{{answer}}"\ntarget_delimiter: ""\n'),
    our_gsm8k=(GSM, 'output_type: generate_until\nmetric_list: [{metric: exact_match}]\ndoc_to_text: "{{question}}"\ndoc_to_target: "{{answer}}"\ngeneration_kwargs: {max_gen_toks: 24, until: []}\n'))

@pytest.fixture(scope='module')
def lm():
    torch.set_num_threads(1)
    tok = train_tokenizer([o.text for o in read_questions(ARC)]*3, 600)
    model = GPT(GPTConfig(depth=2, vocab=tok.n_vocab, seq=512, head_dim=16, aspect=16)).init_weights(0).eval()
    for p in model.parameters(): p.data += 0.1*torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    return adapter(SimpleNamespace(model=model, tok=tok), max_tokens=8192)

@pytest.fixture(scope='module')
def asked(lm, tmp_path_factory):
    "What the harness heard: task and whether as a conversation, to its items"
    d = tmp_path_factory.mktemp('yaml')
    for k,(f,text) in TASKS.items():
        (d/f'{k}.yaml').write_text(f'task: {k}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {f.resolve()}}}}}\ntest_split: test\n{text}')
    s = dict(include=str(d), fewshot=0, seed=0, limit=40)
    plain,chat = [evaluate(lm, s|dict(tasks=t, chat=c)) for t,c in ((['our_arc','our_mmlu'], False), (['our_letters','our_gsm8k'], True))]
    return plain['items']|chat['items']

def right(items, metric='acc'): return [bool(o[metric]) for o in sorted(items, key=lambda o: o['doc_id'])]

@pytest.mark.parametrize('task,file', [('our_arc', ARC), ('our_mmlu', MMLU)])
def test_likelihood(lm, asked, task, file):
    qs = read_questions(file)[:40]
    picks,_ = by_likelihood(lm.r.model, lm.tok, qs, chat=False)
    ours = [p==q.gold for p,q in zip(picks['sum'], qs)]
    assert right(asked[task])==ours and 0<sum(ours)<40
    ascii_ = [i for i,q in enumerate(qs) if all(c.isascii() for c in q.choices)]  # the harness divides by characters, we by bytes
    norm = right(asked[task], 'acc_norm')
    assert [norm[i] for i in ascii_]==[picks['bytes'][i]==qs[i].gold for i in ascii_] and len(ascii_)>30

def test_letters(lm, asked):
    qs = read_questions(MMLU)[:40]
    ours = [p==q.gold for p,q in zip(by_letter(lm.r.model, lm.tok, qs)[0], qs)]
    assert right(asked['our_letters'])==ours and 0<sum(ours)<40

def test_writing(lm, asked):
    ps = read_problems(GSM)[:40]
    texts = solve(lm.r.model, lm.tok, ps, calculator=False, max_new=24)['texts']
    said = [o['said'] for o in sorted(asked['our_gsm8k'], key=lambda o: o['doc_id'])]
    assert said==[str([t])[:500] for t in texts] and len(set(said))>20

def test_letter_question_is_what_the_task_asks():
    q = read_questions(MMLU)[0]
    import jinja2
    doc = dict(question=q.text, choices=list(q.choices))
    text = jinja2.Template('Multiple Choice question: {{question}}\n'+LETTERS+'\nRespond only with the letter of the correct answer.', keep_trailing_newline=True).render(**doc)
    assert text==letter_question(q.text, q.choices)
