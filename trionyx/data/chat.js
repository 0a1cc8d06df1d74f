// The chat page: asks each run over the API of the same server. Text reaches the page as text only, never as HTML.
'use strict';
const $ = id => document.getElementById(id);
const runs = JSON.parse($('chat').dataset.runs);           // [{name, chat}]
let turns = [], going = null;                              // turns: [{text, answers: [{text, reason}]}]; going: an AbortController

function make(tag, cls, text) {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
}

function button(label, name, act) {
    const b = make('button', '', label);
    b.type = 'button';
    if (name) b.setAttribute('aria-label', name);
    b.addEventListener('click', act);
    return b;
}

const say = text => { $('status').textContent = text; };

// A token comes once, behind the # of the address, is kept for this tab, and leaves the address.
if (location.hash.startsWith('#token=')) {
    sessionStorage.setItem('token', decodeURIComponent(location.hash.slice(7)));
    history.replaceState(null, '', location.pathname);
}

// What a run is asked: the conversation as this run had it, up to turn n; a base run goes on with the text alone.
function body(k, n) {
    const o = {model: runs[k].name, stream: true, temperature: +$('temperature').value, max_tokens: +$('length').value, top_k: 50};
    if (!runs[k].chat) return {...o, prompt: turns[n].text};
    const messages = [], sys = $('system').value.trim();
    if (sys) messages.push({role: 'system', content: sys});
    for (const t of turns.slice(0, n)) if (t.answers[k].text) messages.push({role: 'user', content: t.text}, {role: 'assistant', content: t.answers[k].text});
    return {...o, messages: [...messages, {role: 'user', content: turns[n].text}]};
}

async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let held = '';;) {
        const {value, done} = await reader.read();
        if (done) return;
        const parts = (held + value).split('\n\n');
        held = parts.pop();
        for (const p of parts) if (p !== 'data: [DONE]') yield JSON.parse(p.slice(6));
    }
}

async function ask(k, n, signal, show) {
    const token = sessionStorage.getItem('token'), headers = {'Content-Type': 'application/json', ...(token ? {Authorization: 'Bearer ' + token} : {})};
    const r = await fetch(runs[k].chat ? '/v1/chat/completions' : '/v1/completions', {method: 'POST', headers, body: JSON.stringify(body(k, n)), signal});
    if (!r.ok) throw new Error((await r.json()).error.message);
    for await (const e of events(r)) {
        if (e.error) throw new Error(e.error.message);
        const c = e.choices[0];
        show(runs[k].chat ? c.delta.content || '' : c.text, c.finish_reason);
    }
}

// A change at the end of the page, which stays in sight for whoever was reading there
function following(change) {
    const near = innerHeight + scrollY > document.documentElement.scrollHeight - 80;
    change();
    if (near) scrollTo(0, document.documentElement.scrollHeight);
}

// One answer, from its empty card to its end
async function answer(k, n, card, signal) {
    const a = turns[n].answers[k] = {text: '', reason: ''}, text = card.querySelector('.text');
    const ended = (why, cls = 'note') => following(() => card.append(make('p', cls, why)));
    try {
        await ask(k, n, signal, (s, reason) => {
            following(() => {
                a.text += s;
                if (reason) a.reason = reason;
                text.textContent = a.text;
            });
        });
        if (a.reason === 'length') ended('Cut off at the length you set.');
    } catch (e) {
        if (e.name === 'AbortError') ended('Stopped.');
        else ended(e.message, 'note wrong');
    }
    card.setAttribute('aria-busy', 'false');
    if (a.text) following(() => card.append(actions(k, n, a)));
}

function actions(k, n, a) {
    const row = make('div', 'actions'), who = runs.length > 1 ? ` of ${runs[k].name}` : '';
    row.append(button('Copy', `Copy the answer${who}`, () => copy(a.text)), button('Download', `Download the answer${who} as a text file`, () => download(a.text, `letter-${n + 1}.txt`)));
    return row;
}

async function copy(text) {
    try { await navigator.clipboard.writeText(text); }
    catch {                                                // no clipboard over plain http to another machine
        const t = make('textarea', '', text);
        document.body.append(t); t.select(); document.execCommand('copy'); t.remove();
    }
    say('Copied.');
}

function download(text, name) {
    const a = make('a');
    a.href = URL.createObjectURL(new Blob([text], {type: 'text/plain'}));
    a.download = name;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 1000);
    say(`Downloaded ${name}.`);
}

function card(k) {
    const c = make('article', 'answer');
    c.setAttribute('aria-busy', 'true');
    c.setAttribute('aria-label', `Answer of ${runs[k].name}`);
    if (runs.length > 1) c.append(make('h2', '', runs[k].name));
    c.append(make('div', 'text'));
    return c;
}

// All runs answer turn n, side by side
async function run(n) {
    const cards = runs.map((_, k) => card(k)), row = $('log').querySelectorAll('.answers')[n];
    row.replaceChildren(...cards);
    going = new AbortController();
    busy(true);
    scrollTo(0, document.documentElement.scrollHeight);
    await Promise.all(cards.map((c, k) => answer(k, n, c, going.signal)));
    say(going.signal.aborted ? 'Stopped.' : 'Answered.');
    going = null;
    busy(false);
}

function busy(on) {
    $('send').hidden = on;
    $('stop').hidden = !on;
    $('again').disabled = $('new').disabled = on || !turns.length;
    if (on) say('Answering…');
}

function send() {
    const text = $('message').value.trim();
    if (!text || going) return;
    for (const id of ['temperature', 'length']) if (!$(id).checkValidity()) { $('settings').open = true; $(id).reportValidity(); return; }
    $('hint').hidden = true;
    $('message').value = '';
    turns.push({text, answers: []});
    const user = make('article', 'user', text);
    user.setAttribute('aria-label', 'You');
    $('log').append(user, make('div', 'answers'));
    run(turns.length - 1);
}

const stop = () => { if (going) going.abort(); };

function fresh() {
    turns = [];
    $('log').replaceChildren($('hint'));
    $('hint').hidden = false;
    busy(false);
    say('New conversation.');
    $('message').focus();
}

$('form').addEventListener('submit', e => { e.preventDefault(); send(); });
$('message').addEventListener('keydown', e => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); } });
addEventListener('keydown', e => { if (e.key === 'Escape') stop(); });
$('stop').addEventListener('click', () => { stop(); $('message').focus(); });
$('again').addEventListener('click', () => { if (!going && turns.length) run(turns.length - 1); });
$('new').addEventListener('click', fresh);
busy(false);
