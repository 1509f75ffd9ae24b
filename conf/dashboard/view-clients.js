// The clients refused most, and one client: what it has left, and its limits.

import {Failure, allowed, ask, askJson} from './api.js';
import {$, confirm, h, list, mark, say, show} from './dom.js';
import {Counters, brief} from './series.js';

const TOP = 10;

const refused = new Counters(true);

let apis;               // locations of clients APIs
let plansPath;
let plans = [];
let writable = new Map();
let top = null;         // null: the API does not tell
let since;              // what it tells of, in unix time
let shown = null;       // the client looked up: {api, id, client}
let said;

const api = () => $('#api').value || apis[0];

export const start = (locations, plansLocation, tell) => {
  apis = locations;
  plansPath = plansLocation;
  said = tell;

  list($('#api'), apis, (one) => one, (one) =>
    ({node: h('option', {value: one}, one)}));
  show($('#which'), apis.length > 1);

  $('#search').addEventListener('submit', (event) => {
    event.preventDefault();
    look(api(), $('#id').value);
  });
  $('#edit').addEventListener('submit', (event) => {
    event.preventDefault();
    save();
  });
  $('#refill').addEventListener('click', refill);
  $('#remove').addEventListener('click', remove);
};

export const poll = async () => {
  const at = Date.now();
  const found = [];
  let told = false;

  for (const one of apis) {
    let answer;
    try {
      answer = await askJson(`${one}?top=rejected&limit=${TOP}`);
    } catch (failure) {
      if (failure.status !== 400) {
        throw failure;
      }
      continue;
    }
    if (!Array.isArray(answer.top)) {
      continue;
    }
    since = told ? Math.min(since, answer.since) : answer.since;
    told = true;
    for (const client of answer.top) {
      refused.add(`${one} ${client.client_id}`, at, client.rejected);
      found.push({...client, api: one});
    }
  }
  top = told ? found.sort((a, b) => b.rejected - a.rejected).slice(0, TOP)
    : null;
  refused.forget(at - 9000);

  if (shown?.client) {
    await follow();
  }
};

// Whether all the APIs take changes.
export const probe = async () => {
  for (const one of apis) {
    writable.set(one, (await allowed(one)).includes('POST'));
  }
  try {
    plans = (await askJson(`${plansPath}?limit=1000`)).plans
      .map(({plan}) => plan);
  } catch {
    plans = [];
  }
  return [...writable.values()].every(Boolean);
};

const rate = (client) =>
  refused.rate(`${client.api} ${client.client_id}`) ?? 0;

export const tells = () => top !== null;

// Clients refused in the last seconds, the most first.
export const limited = () => (top ?? [])
  .map((client) => ({client, rate: rate(client)}))
  .filter((one) => one.rate > 0)
  .sort((a, b) => b.rate - a.rate);

// A button that looks the client up.
export const link = (client) => h('button', {
  type: 'button', class: 'link', click() {
    $('#api').value = client.api;
    $('#id').value = client.client_id;
    look(client.api, client.client_id);
    $('#client').scrollIntoView({block: 'nearest'});
    $('#id').focus();
  },
}, client.client_id);

const HASH = /^[0-9a-f]{16}$/i;

// The client of an id, or of a hash if no client has that for its id.
const find = async (location, text) => {
  const by = (name) =>
    askJson(`${location}?${name}=${encodeURIComponent(text)}`);
  try {
    return await by('client_id');
  } catch (failure) {
    if (failure.status !== 404) {
      throw failure;
    }
  }
  if (HASH.test(text)) {
    try {
      const client = await by('hash');
      return client?.client_id === undefined ? null : client;
    } catch (failure) {
      if (failure.status !== 404 && failure.status !== 400) {
        throw failure;
      }
    }
  }
  return null;
};

const look = async (location, text) => {
  try {
    const client = await find(location, text);
    shown = {api: location, id: client?.client_id ?? text, client};
    say($('#found'), client ? '' : `Nobody of this ID is registered, or has `
      + 'used a token of late: its bucket is full.');
    form();
  } catch (failure) {
    shown = null;
    say($('#found'), failure.message);
  }
  drawClient();
};

const follow = async () => {
  const {api: location, id} = shown;
  try {
    const client = await find(location, id);
    if (shown?.id === id) {
      shown.client = client ?? {...shown.client, tokens: undefined,
        registered: false};
    }
  } catch (failure) {
    if (!(failure instanceof Failure) || failure.status === 0) {
      throw failure;
    }
  }
};

// What of a client may be edited: its limits by what it has got of them.
const FIELDS = {
  capacity: 'Capacity (tokens)',
  rate_per_sec: 'Rate (tokens a second)',
  quota: 'Quota (tokens a window)',
  inflight: 'Requests in flight',
};
const FLAGS = {blocked: 'Blocked', unlimited: 'Not limited'};

const limits = (client) => {
  const own = Object.keys(FIELDS).filter((name) => name in (client ?? {}));
  return own.length ? own : ['capacity', 'rate_per_sec'];
};

// Fields are made when a client is looked up, and not while they are edited.
const form = () => {
  const client = shown.client ?? {};
  const names = [...new Set([...plans, client.plan].filter(Boolean))];
  const fields = limits(shown.client).map((name) => h('label', {},
    FIELDS[name], h('input', {
      name, type: 'number', min: 0, step: 'any', required: true,
      value: client[name],
    })));
  if (names.length) {
    const select = h('select', {name: 'plan', change: () => choose()},
      h('option', {value: ''}, 'limits of its own'),
      ...names.map((name) => h('option', {value: name}, name)));
    select.value = client.plan ?? '';
    fields.unshift(h('label', {}, 'Plan', select));
  }
  for (const [name, words] of Object.entries(FLAGS)) {
    if (name in client) {
      fields.push(h('label', {class: 'check'}, h('input', {
        name, type: 'checkbox', checked: client[name] === true}), words));
    }
  }
  $('#edit .fields').replaceChildren(...fields);
  choose();
};

const choose = () => {
  const planned = Boolean($('#edit').elements.plan?.value);
  for (const name of Object.keys(FIELDS)) {
    const field = $('#edit').elements[name];
    if (field) {
      field.disabled = planned;
    }
  }
};

const place = () =>
  `${shown.api}?client_id=${encodeURIComponent(shown.id)}`;

// What is asked of the API: all of the limits of who has none of its own, or
// what differs.
const edited = () => {
  const {elements} = $('#edit');
  const {client} = shown;
  const whole = !client?.registered || Boolean(client.plan);
  const body = {};

  if (elements.plan?.value) {
    if (whole || elements.plan.value !== client.plan) {
      body.plan = elements.plan.value;
    }
  } else {
    for (const name of limits(client)) {
      const value = Number(elements[name].value);
      if (whole || value !== client[name]) {
        body[name] = value;
      }
    }
  }
  for (const name of Object.keys(FLAGS)) {
    if (elements[name] && (elements[name].checked !== client[name])) {
      body[name] = elements[name].checked;
    }
  }
  return {method: whole ? 'PUT' : 'PATCH', body};
};

const words = (body) => Object.entries(body)
  .map(([name, value]) => `${name} ${value}`).join(', ');

const apply = (title, text, go, method, body) => confirm({
  title, text, go,
  act: async () => {
    const {api: location, id} = shown;
    await ask(place(), method, body);
    await look(location, id);
    said(`${go}: done`);
  },
});

const save = () => {
  const {method, body} = edited();
  if (Object.keys(body).length === 0) {
    say($('#found'), 'Nothing is changed.');
    return;
  }
  const now = shown.client?.registered
    ? `So far: ${words(Object.fromEntries(Object.keys(body)
      .map((name) => [name, shown.client[name] ?? 'none'])))}.`
    : 'So far it has no limits of its own.';
  apply(`Change the limits of ${shown.id}?`,
    `From its next request on: ${words(body)}. ${now}`, 'Save', method, body);
};

const refill = () => apply(`Refill the tokens of ${shown.id}?`,
  `It has ${brief(shown.client.tokens)} tokens, and gets all of its ${
    shown.client.capacity}.`, 'Refill', 'PATCH',
  {tokens: shown.client.capacity});

const remove = () => apply(`Remove the limits of ${shown.id}?`,
  'It is limited as its zone says from its next request on, and keeps its '
  + 'tokens.', 'Remove', 'DELETE');

const makeTop = (client) => {
  const cells = [0, 1, 2].map(() => h('td', {class: 'n'}));
  const node = h('tr', {}, h('th', {scope: 'row'}, link(client),
    apis.length > 1 ? h('span', {class: 'aside'}, ` ${client.api}`) : ''),
  ...cells);
  return {
    node,
    update(c) {
      say(cells[0], brief(rate(c)));
      mark(cells[0], rate(c) > 0 ? 'n bad' : 'n');
      say(cells[1], (c.error ? '≈ ' : '') + brief(c.rejected));
      say(cells[2], brief(c.requests));
    },
  };
};

const drawTop = (matches) => {
  const section = $('#top');
  const rows = (top ?? []).filter(({client_id: id}) => matches(id));
  list($('tbody', section), rows,
    ({api: one, client_id: id}) => `${one} ${id}`, makeTop);
  say($('.aside', $('h2', section)), top?.length
    ? `since ${new Date(since * 1000).toLocaleTimeString('en-GB')}` : '');
  show($('table', section), rows.length);
  show($('.empty', section), !rows.length);
  say($('.empty', section), top === null
    ? 'This gateway does not tell. Refusals in the access log have the hash '
      + 'of a client.'
    : top.length ? 'Nobody here has that in the ID.'
      : 'Nobody has been refused.');
};

const facts = (client) => [
  ['Client', client.client_id],
  ['Limits', client.plan ? `those of the plan ${client.plan}`
    : client.registered ? 'of its own' : 'those of the zone'],
  client.rate_per_sec === undefined ? null
    : ['Rate', `${client.rate_per_sec} tokens/s, at most ${client.capacity}`],
  client.quota === undefined ? null : ['Quota', client.quota],
  client.inflight === undefined ? null
    : ['In flight', `${client.used ?? 0} of ${client.inflight}`],
  client.blocked ? ['Blocked', 'yes: its requests get 403'] : null,
  client.unlimited ? ['Not limited', 'yes'] : null,
].filter(Boolean);

const drawTokens = (client) => {
  const meter = $('#card meter');
  const left = $('#card .tokens span');
  const {tokens} = client ?? {};

  show(meter.parentNode, tokens !== undefined);
  if (tokens === undefined) {
    return;
  }
  const full = client.capacity ?? client.quota ?? client.inflight;
  meter.max = full;
  meter.low = full / 5;
  meter.optimum = full;
  meter.value = Math.max(0, tokens);
  say(left, tokens < 1 ? `${brief(tokens)} tokens left: it is refused`
    : `${brief(tokens)} of ${brief(full)} tokens left`);
  mark(left, tokens < 1 ? 'bad' : '');
};

const drawClient = () => {
  const client = shown?.client;
  const may = writable.get(shown?.api);

  show($('#card'), shown !== null);
  if (shown === null) {
    return;
  }
  show($('#edit'), may);
  show($('#refill'), client?.tokens !== undefined
    && client.capacity !== undefined);
  show($('#remove'), client?.registered);
  say($('#edit h3'), client?.registered ? 'Limits' : 'Limits of its own');

  const dl = $('#card dl');
  const rows = client ? facts(client) : [];
  show(dl, client);
  list(dl, rows.flatMap(([name, value]) => [
    {id: `${name}`, tag: 'dt', value: name},
    {id: `${name} value`, tag: 'dd', value},
  ]), ({id}) => id, ({tag}) => {
    const node = h(tag);
    return {node, update: ({value}) => say(node, value)};
  });
  drawTokens(client);
};

export const draw = (matches) => {
  drawTop(matches);
  drawClient();
};
