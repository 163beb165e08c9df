(() => {
  const note = document.getElementById('live');
  const busy = element => element.contains(document.activeElement) &&
    document.activeElement !== document.body || element.querySelector('details[open]');
  const swap = (here, there) => {
    if (!there || here.outerHTML === there.outerHTML) return;
    if (!busy(here)) here.replaceWith(there);
    else here.querySelectorAll('[data-live]').forEach(
      part => swap(part, part.id && there.querySelector('#' + CSS.escape(part.id))));
  };
  let timer = 0;
  const refresh = async () => {
    timer = 0;
    if (document.hidden) return later(5000);
    try {
      const answer = await fetch(location.href, {headers: {Accept: 'text/html'}});
      if (answer.status !== 200) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      document.querySelectorAll('main > [data-live]').forEach(
        here => swap(here, page.getElementById(here.id)));
    } catch { /* the next event or tick tries again */ }
  };
  const later = wait => { timer = timer || setTimeout(refresh, wait); };
  const source = new EventSource(document.body.dataset.stream);
  source.onopen = () => { note.textContent = 'live'; later(1000); };
  source.onerror = () => { note.textContent = 'not live, trying again'; };
  for (const kind of ['outcome', 'control', 'recovery', 'break_glass', 'alert'])
    source.addEventListener(kind, () => later(1500));
  setInterval(() => later(0), 30000);
})();
