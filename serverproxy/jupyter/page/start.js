'use strict';
(() => {
  const given = JSON.parse(document.getElementById('data').textContent);
  const element = id => document.getElementById(id);
  const title = given.title;
  // Words in braces are put in; a sentence without a translation stays English.
  const words = (english, parts = {}) =>
    (given.sentences[english] ?? english).replace(/\{(\w+)\}/g, (whole, name) => ({ title, ...parts })[name] ?? whole);
  const steps = {
    '': '',
    'ending what an earlier server left': words('Ending what an earlier server left running …'),
    checking: words('Checking what it needs …'),
    launching: words('Launching …'),
    'waiting for the first answer': words('Launched. Waiting for its first answer …'),
    'asked to stop, saving': words('It was asked to stop and saves its data …'),
    'killing what did not stop': words('It did not stop in time and is being killed …')
  };
  let app = given.app;
  let seen = performance.now();
  let busy = false;
  let left = false;
  let refocus = false;
  let shownLog = '';

  // In a Lab tab, Lab's theme counts and not that of the system.
  try {
    const lab = window.parent !== window ? window.parent.document.body.dataset : {};
    if (lab.jpThemeLight !== undefined) {
      document.documentElement.dataset.theme = lab.jpThemeLight === 'false' ? 'dark' : 'light';
    }
  } catch {
    // framed by another site: the system's theme stays
  }

  const seconds = value => words('{seconds} s', { seconds: Math.max(0, Math.round(value)) });
  const say = (id, text) => {
    // A reader speaks what changes, so nothing is set twice.
    if (element(id).textContent !== text) {
      element(id).textContent = text;
    }
  };

  function show() {
    const failed = app.state === 'failed';
    const stopped = app.state === 'stopped';
    const over = failed || stopped;
    document.body.classList.toggle('failed', failed);
    document.querySelector('main').setAttribute('aria-busy', String(!over));
    const head = failed
      ? app.ready_seconds === null
        ? words('{title} did not start')
        : words('{title} ended unexpectedly')
      : stopped
        ? words('{title} is not running')
        : app.state === 'stopping'
          ? words('Stopping {title}')
          : words('Starting {title}');
    say('headline', head);
    document.title = head;
    say('phase', failed && app.failure ? app.failure.message : stopped ? why() : steps[app.phase] ?? app.phase);
    element('waiting').hidden = over;
    element('cancel').hidden = app.state !== 'starting';
    element('retry').hidden = !over;
    element('failure').hidden = !failed;
    if (failed && app.failure) {
      say('fix', app.failure.fix);
      say('exit', exitWords(app.failure));
      if (!shownLog) {
        showLog(app.failure.log_tail);
      }
    }
    tick();
  }

  function why() {
    return app.why === 'cancelled' ? words('You cancelled the start.') : words('It was stopped.');
  }

  function exitWords({ signal, exit_code: code }) {
    if (signal) {
      return words('Ended by {signal}.', { signal });
    }
    return code === null ? '' : words('Exit code {code}.', { code });
  }

  function tick() {
    const since = (performance.now() - seen) / 1000;
    if (app.state === 'starting') {
      const elapsed = (app.starting_seconds ?? 0) + since;
      const usual = app.usual_ready_seconds;
      say('time', usual ? words('{elapsed} — it usually takes {usual}', { elapsed: seconds(elapsed), usual: seconds(usual) }) : seconds(elapsed));
      const bar = element('progress');
      if (usual) {
        bar.max = 1;
        bar.value = Math.min(0.97, elapsed / usual);
      } else {
        bar.removeAttribute('value');
      }
    } else {
      say('time', '');
      element('progress').removeAttribute('value');
    }
    const wait = app.failure ? app.failure.retry_seconds - since : 0;
    const retry = element('retry');
    retry.disabled = busy || wait > 0;
    const stopped = app.state === 'stopped';
    const text =
      wait > 0
        ? words(stopped ? 'Start in {seconds} s' : 'Try again in {seconds} s', { seconds: Math.ceil(wait) })
        : words(stopped ? 'Start' : 'Try again');
    if (retry.textContent !== text) {
      retry.textContent = text;
    }
    element('cancel').disabled = busy;
    // The button that was pressed goes away; the focus moves on to the one that comes.
    const next = element('cancel').hidden ? retry : element('cancel');
    if (refocus && !next.hidden && !next.disabled) {
      refocus = false;
      next.focus();
    }
  }

  function showLog(lines) {
    const text = lines.join('\n');
    if (text === shownLog) {
      return;
    }
    const log = element('log');
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    shownLog = text;
    log.textContent = text || words('It has written nothing yet.');
    if (atEnd) {
      log.scrollTop = log.scrollHeight;
    }
  }

  async function ask(path, method = 'GET') {
    const answer = await fetch(given.api + path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: { 'X-XSRFToken': given.xsrf }
    });
    const body = await answer.json();
    if (!answer.ok) {
      throw new Error(body.message || `HTTP ${answer.status}`);
    }
    return body;
  }

  function take(fresh) {
    app = fresh;
    seen = performance.now();
    if (app.state === 'ready' || app.state === 'idle') {
      left = true;
      say('headline', words('Opening {title}'));
      // The same address, which now is the application; replace() would only scroll at a "#".
      window.location.reload();
      return;
    }
    show();
  }

  const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

  async function follow() {
    while (!left) {
      try {
        take(await ask(`?revision=${app.revision}&wait=20`));
      } catch {
        say('phase', words('The Jupyter server does not answer. Trying again …'));
        await pause(2000);
      }
    }
  }

  async function followLog() {
    while (!left) {
      if (app.state === 'starting' || app.state === 'stopping' || app.state === 'failed') {
        try {
          showLog((await ask('/log?lines=200')).lines);
        } catch {
          // the other loop says so
        }
      }
      await pause(app.state === 'failed' ? 5000 : 1000);
    }
  }

  async function press(action) {
    busy = true;
    tick();
    refocus = true;
    try {
      take(await ask(`/${action}`, 'POST'));
      if (action !== 'cancel') {
        shownLog = '';
      }
    } catch (error) {
      say('phase', error.message);
    } finally {
      busy = false;
      tick();
    }
  }

  element('cancel').addEventListener('click', () => press('cancel'));
  element('retry').addEventListener('click', () => press('retry'));
  showLog(given.log);
  show();
  setInterval(() => left || tick(), 1000);
  follow();
  followLog();
})();
