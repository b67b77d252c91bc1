// SPDX-License-Identifier: EUPL-1.2

// The page's part of the check: it takes a file, gives it to a worker that runs the verifier, and shows step by step what
// that says. It judges nothing, keeps nothing and sends nothing away.
'use strict';

(() => {
  const maxFile = 32 * 1024 * 1024; // bytes, as ledger/history reads them
  const shownEvents = 500;

  const root = document.getElementById('verify');
  const lang = root.dataset.lang;
  const part = (id) => document.getElementById('verify-' + id);
  const words = new Map();
  for (const t of root.querySelectorAll('template[data-say]')) words.set(t.dataset.say, t.content.textContent);
  const say = (key, values) => (words.get(key) || key).replace(/\{(\w+)\}/g, (whole, name) => (values && name in values ? values[name] : whole));

  let turn = 0; // grows with each check that begins or ends: who waited for something sees whether it is still wanted
  let worker = null;
  let asking = null; // the request for the citizen's own history

  const idle = (on) => {
    for (const id of ['check', 'mine']) if (part(id)) part(id).disabled = !on;
    part('bar').hidden = on;
  };

  const verdict = (result, word, text) => {
    part('verdict').dataset.result = result;
    part('word').textContent = word;
    part('text').textContent = text;
  };

  const list = (ul, texts) => {
    ul.replaceChildren(...texts.map((text) => {
      const li = document.createElement('li');
      li.textContent = text;
      return li;
    }));
    ul.hidden = texts.length === 0;
  };

  const stepsOf = (kind) => [...root.querySelectorAll(`.verify-steps[data-kind="${kind}"] > li`)];

  const setStep = (li, state) => {
    li.dataset.state = state;
    li.querySelector('.verify-state').textContent = say('state_' + state);
    for (const p of li.querySelectorAll('[data-when]')) p.hidden = p.dataset.when !== state;
  };

  const reset = () => {
    for (const li of root.querySelectorAll('.verify-step')) {
      setStep(li, 'waiting');
      list(li.querySelector('.verify-problems'), []);
      li.querySelector('.verify-exactly').hidden = true;
    }
    show('history');
    list(part('failed'), []);
    list(part('notes'), []);
    part('todo').hidden = true;
    part('events').hidden = true;
    part('progress').removeAttribute('value');
    part('outcome').hidden = false;
  };

  const show = (kind) => {
    for (const ol of root.querySelectorAll('.verify-steps')) ol.hidden = ol.dataset.kind !== kind;
  };

  const end = () => {
    turn++;
    if (worker) worker.terminate();
    if (asking) asking.abort();
    worker = asking = null;
    idle(true);
  };

  // finish ends a check; the steps that were not done say so.
  const finish = (result, word, text) => {
    end();
    for (const li of root.querySelectorAll('.verify-step')) {
      if (li.dataset.state === 'waiting' || li.dataset.state === 'running') setStep(li, 'waiting');
    }
    verdict(result, word, text);
    part('outcome').focus({ preventScroll: true });
    part('outcome').scrollIntoView({ block: 'start' });
  };

  const unsure = (why) => finish('unsure', say('unsure'), say('unsure_text') + ' ' + say('why_' + why));

  // progress says how far a step is; those before it were passed on the way.
  const progress = ({ step, done, of }) => {
    const all = stepsOf('history');
    const at = all.findIndex((li) => li.dataset.step === step);
    if (at < 0) return;
    all.forEach((li, i) => {
      if (i === at && li.dataset.state === 'waiting') setStep(li, 'running');
    });
    part('progress').value = (at + done / Math.max(of, 1)) / all.length;
  };

  // moment writes an instant in Italy's time wherever the browser is, as the list of accesses does.
  const moment = (text) => new Date(text).toLocaleString(lang === 'en' ? 'en-GB' : lang, { dateStyle: 'long', timeStyle: 'medium', timeZone: 'Europe/Rome' });

  const tell = (v) => {
    const receipt = v.checks !== null && v.checks !== undefined;
    show(receipt ? 'receipt' : 'history');
    const all = stepsOf(receipt ? 'receipt' : 'history');
    const failed = [];
    for (const s of v.steps || []) {
      const li = all.find((li) => li.dataset.step === s.name);
      if (!li) continue;
      setStep(li, s.state);
      if (s.state !== 'failed') continue;
      failed.push(li.querySelector('.verify-step-title').dataset.name + ': ' + li.querySelector('[data-when="failed"]').textContent);
      const told = (s.problems || []).slice(0, 50);
      list(li.querySelector('.verify-problems'), [...new Set(told.map((i) => v.plain[lang][i]))]);
      const exactly = li.querySelector('.verify-exactly');
      list(exactly.querySelector('ul'), told.map((i) => {
        const p = v.problems[i];
        return `${p.code} · ${p.where} · ${p.expected} ≠ ${p.found}`;
      }));
      exactly.hidden = told.length === 0;
    }
    list(part('notes'), (v.notes && v.notes[lang]) || []);
    events(v.events || []);
    const count = v.events ? v.events.length : v.count;
    switch (v.result) {
      case 'proven':
        finish('good', say('good'), say('good_' + v.kind, { until: v.complete_until && moment(v.complete_until), count }));
        break;
      case 'not_proven':
        finish('bad', say('bad'), say('bad_text'));
        list(part('failed'), failed);
        part('todo').hidden = false;
        break;
      default:
        unsure(v.reason);
    }
  };

  // purpose is what an access was for, in the words of the list of accesses; of another vocabulary's IRI the end of it.
  const purpose = (word) => (word ? words.get('purpose ' + word) || word.replace(/^https?:.*[#/]/, '') : '–');

  const events = (all) => {
    const rows = all.slice(-shownEvents).reverse().map((e) => {
      const tr = document.createElement('tr');
      tr.dataset.state = e.state;
      for (const text of [e.occurred_at ? moment(e.occurred_at) : '–', e.agency_name || e.agency || '–', purpose(e.purpose), say('event_' + e.state)]) {
        const td = document.createElement('td');
        td.textContent = text;
        tr.append(td);
      }
      return tr;
    });
    part('events').querySelector('tbody').replaceChildren(...rows);
    part('events').hidden = rows.length === 0;
  };

  const run = (file) => {
    verdict('running', say('loading'), '');
    const base = new URL(root.dataset.base, document.baseURI).href;
    try {
      worker = new Worker(base + 'worker.js');
    } catch {
      unsure('load');
      return;
    }
    worker.onerror = () => unsure('load');
    worker.onmessage = ({ data }) => {
      switch (data.type) {
        case 'ready':
          verdict('running', say('running'), '');
          break;
        case 'progress':
          progress(data);
          break;
        case 'verdict':
          tell(JSON.parse(data.text));
          break;
        default:
          unsure(data.reason);
      }
    };
    worker.postMessage({ base, integrity: root.dataset.wasm, file, trust: part('trust').value, now: Date.now() }, [file]);
  };

  const begin = () => {
    end();
    idle(false);
    reset();
    verdict('running', say('loading'), '');
  };

  const checkFile = async (file) => {
    begin();
    if (!file) return unsure('none');
    if (file.size > maxFile) return unsure('big');
    const mine = turn;
    let data = null;
    try {
      data = await file.arrayBuffer();
    } catch {
      // It says so below.
    }
    if (mine !== turn) return;
    if (data) run(data);
    else unsure('file');
  };

  const checkMine = async () => {
    begin();
    verdict('running', say('fetching'), '');
    asking = new AbortController();
    const mine = turn;
    let data = null;
    try {
      const form = part('mine').form;
      const fields = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.action, { method: 'POST', body: fields, credentials: 'same-origin', signal: asking.signal });
      if (answer.ok) data = await answer.arrayBuffer();
    } catch {
      // It says so below.
    }
    if (mine !== turn) return;
    asking = null;
    if (data) run(data);
    else unsure('fetch');
  };

  for (const title of root.querySelectorAll('.verify-step-title')) {
    title.dataset.name = [...title.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.textContent).join('').trim();
  }
  if (part('sums') && window.isSecureContext) {
    fetch(new URL(root.dataset.base + 'SHA256SUMS', document.baseURI)).then((answer) => answer.arrayBuffer()).then((sums) => crypto.subtle.digest('SHA-256', sums)).then((digest) => {
      part('sums').textContent = [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
    }).catch(() => {});
  }
  idle(true);
  part('check').addEventListener('click', () => checkFile(part('file').files[0]));
  if (part('mine')) part('mine').addEventListener('click', checkMine);
  part('cancel').addEventListener('click', () => finish('unsure', say('stopped'), say('stopped_text')));
  const drop = part('drop');
  drop.addEventListener('dragover', (e) => { e.preventDefault(); drop.dataset.over = ''; });
  drop.addEventListener('dragleave', () => { delete drop.dataset.over; });
  drop.addEventListener('drop', (e) => {
    e.preventDefault();
    delete drop.dataset.over;
    checkFile(e.dataTransfer.files[0]);
  });
})();
