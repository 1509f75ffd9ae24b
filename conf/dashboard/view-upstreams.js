// The upstreams with their servers, and what may be done to a server.

import {allowed, ask, askJson, serverNow} from './api.js';
import {$, ago, confirm, count, h, list, mark, say, show} from './dom.js';
import {Counters, brief, plot} from './series.js';

const FEW = 50;         // servers of an upstream that are shown unasked

const requests = new Counters();
const failures = new Counters();
const errors = new Counters();
const more = new Set(); // upstreams of which all servers are shown

let path;
let writable = false;
let upstreams = [];
let queued = new Map();
let redraw;

export const start = (location, changed) => {
  path = location;
  redraw = changed;
};

const place = (upstream, server) =>
  `${path}/${encodeURIComponent(upstream.name)}/servers/${server.id}`;

const key = (upstream, server) => `${upstream.name} ${server.id}`;

export const poll = async () => {
  upstreams = (await askJson(path)).upstreams;
  const at = Date.now();

  for (const upstream of upstreams) {
    let total = 0;
    for (const server of upstream.servers) {
      requests.add(key(upstream, server), at, server.requests);
      failures.add(key(upstream, server), at, server.failures);
      total += server.requests;
    }
    requests.add(upstream.name, at, total);
    errors.add(`retries ${upstream.name}`, at, upstream.retries);
  }
  [requests, failures, errors].forEach((all) => all.forget(at - 9000));
};

// Whether there are changes is said by the list of an upstream's servers.
export const probe = async () => {
  writable = upstreams.length > 0 && (await allowed(
    `${path}/${encodeURIComponent(upstreams[0].name)}/servers`))
    .includes('POST');
  return upstreams.length === 0 || writable;
};

// Of lb_metrics, what the API does not have.
export const measure = (metrics) => {
  const at = Date.now();
  const failed = new Map();
  for (const {labels, value} of metrics.get('lb_requests_total') ?? []) {
    const {upstream, code} = labels;
    failed.set(upstream, (failed.get(upstream) ?? 0)
      + (code === '5xx' ? value : 0));
  }
  failed.forEach((value, name) => errors.add(`5xx ${name}`, at, value));
  queued = new Map((metrics.get('lb_queued') ?? [])
    .map(({labels, value}) => [labels.upstream, value]));
};

export const out = () => upstreams.flatMap((upstream) => upstream.servers
  .filter(({state}) => state !== 'up')
  .map((server) => ({upstream, server})));

export const emptied = () => upstreams.filter(
  ({total, usable}) => total > 0 && usable === 0);

export const total = () => upstreams.reduce((n, {servers}) =>
  n + servers.length, 0);

export const known = () => upstreams.length > 0;

export const name = (server) => (server.name && server.name !== server.address
  ? `${server.name} (${server.address})` : server.address);

// "since" is a time, or a number of seconds.
export const lasting = ({since}) => {
  const from = typeof since === 'number' ? since * 1000 : Date.parse(since);
  return from > 0 ? ago(serverNow() - from) : '';
};

// Trouble first, and what is not wanted before what is.
const ORDER = ['down', 'ejected', 'draining', 'disabled', 'up'];
const rank = ({state}) => {
  const found = ORDER.indexOf(state);
  return found < 0 ? 0 : found;
};

const ACTIONS = {
  up: {
    name: 'Bring up',
    text: () => 'It gets requests again, unless its health checks fail.',
  },
  draining: {
    name: 'Drain',
    text: (server) => 'It gets no new requests; '
      + `${count(server.active, 'request')} in flight will be finished.`,
  },
  disabled: {
    name: 'Disable',
    text: () => 'It gets no new requests and is not checked any more, '
      + 'as if its line said "down".',
  },
};

const change = (upstream, server, state) => {
  const {name: verb, text} = ACTIONS[state];
  const left = upstream.servers.filter((one) =>
    one.state === 'up' && one.id !== server.id).length;
  const rest = state === 'up' ? ''
    : left ? ` ${count(left, 'server is', 'servers are')} left.`
      : ' No server will be left: clients will get 502.';

  confirm({
    title: `${verb} ${name(server)} in ${upstream.name}?`,
    text: text(server) + rest,
    go: verb,
    act: async () => {
      await ask(place(upstream, server), 'PATCH', {state});
      redraw();
    },
  });
};

const check = ({last_check: last}) => (last
  ? `${last.passed ? 'passed' : 'failed'} ${
    ago(serverNow() - Date.parse(last.at))} ago` : '–');

const COLUMNS = ['Server', 'State', 'Weight', 'Active', 'Requests/s',
  'Response', 'Last check'];
const NUMBERS = new Set(['Weight', 'Active', 'Requests/s', 'Response']);

// A table whose rows are laid out as blocks on a narrow screen is none for a
// screen reader, unless its roles are spelled out.
const makeServer = (upstream, server) => {
  const cells = Object.fromEntries(COLUMNS.map((column) => [column,
    h(column === 'Server' ? 'th' : 'td', {
      'role': column === 'Server' ? 'rowheader' : 'cell',
      'scope': column === 'Server' ? 'row' : undefined,
      'class': NUMBERS.has(column) ? 'n' : undefined,
      'data-name': column,
    })]));
  const state = h('span');
  const why = h('span', {class: 'why'});
  cells.State.append(state, why);

  let now = {upstream, server};
  const buttons = Object.entries(ACTIONS).map(([to, {name: verb}]) =>
    h('button', {
      'type': 'button', 'data-to': to,
      'click': () => change(now.upstream, now.server, to),
    }, verb));
  const actions = h('td', {role: 'cell', class: 'actions'}, ...buttons);
  const node = h('tr', {role: 'row'}, ...Object.values(cells), actions);

  return {
    node,
    update(item) {
      now = item;
      const {upstream: u, server: s} = item;
      say(cells.Server, name(s) + (s.backup ? ' · backup' : ''));
      mark(state, `state ${s.state}`);
      say(state, s.state);
      say(why, s.state === 'up' ? '' : [s.reason,
        lasting(s) && `for ${lasting(s)}`].filter(Boolean).join(', '));
      say(cells.Weight, s.weight);
      say(cells.Active, brief(s.active));
      say(cells['Requests/s'], brief(requests.rate(key(u, s))));
      say(cells.Response, s.response_time_ms
        ? `${brief(s.response_time_ms)} ms` : '–');
      say(cells['Last check'], check(s));
      show(actions, writable);
      const focused = buttons.find((one) => one === document.activeElement);
      for (const button of buttons) {
        const {to} = button.dataset;
        show(button, to === 'up' ? /^(draining|disabled)$/.test(s.state)
          : to !== s.state);
        button.setAttribute('aria-label', `${ACTIONS[to].name} ${name(s)}`);
      }
      if (focused?.hidden) {
        buttons.find((button) => !button.hidden).focus();
      }
    },
  };
};

const figures = (upstream) => {
  const active = upstream.servers.reduce((n, s) => n + s.active, 0);
  const all = [
    `${brief(requests.rate(upstream.name))} requests/s`,
    `${brief(active)} active`,
    `${brief(errors.rate(`5xx ${upstream.name}`))} 5xx/s`,
    `${brief(errors.rate(`retries ${upstream.name}`))} retries/s`,
  ];
  if (queued.has(upstream.name)) {
    all.push(`${brief(queued.get(upstream.name))} queued`);
  }
  return all.join(' · ');
};

const makeUpstream = ({upstream}) => {
  const title = h('h3', {}, upstream.name);
  const method = h('span', {class: 'aside'});
  const usable = h('span');
  const numbers = h('p', {class: 'figures'});
  const line = plot(`Requests a second of ${upstream.name}`, 'line');
  const body = h('tbody', {role: 'rowgroup'});
  const last = h('th', {role: 'columnheader', scope: 'col'},
    h('span', {class: 'unseen'}, 'Actions'));
  const table = h('table', {role: 'table'},
    h('caption', {class: 'unseen'}, `Servers of ${upstream.name}`),
    h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'},
      ...COLUMNS.map((column) => h('th', {
        role: 'columnheader', scope: 'col',
        class: NUMBERS.has(column) ? 'n' : undefined,
      }, column)), last)),
    body);
  const all = h('button', {type: 'button', click() {
    more.has(upstream.name) ? more.delete(upstream.name)
      : more.add(upstream.name);
    redraw();
  }});
  const node = h('article', {},
    h('div', {class: 'head'}, title, method, usable, numbers),
    line.node, table, all);

  return {
    node,
    update({upstream: u, servers}) {
      const shown = more.has(u.name) ? servers : servers.slice(0, FEW);
      say(method, u.method);
      say(usable, `${u.usable} of ${u.total} usable`);
      mark(usable, u.usable === u.total ? 'pill good'
        : u.usable ? 'pill warn' : 'pill bad');
      say(numbers, figures(u));
      line.draw(requests.get(u.name));
      show(last, writable);
      list(body, shown.map((server) => ({upstream: u, server})),
        ({server}) => server.id,
        ({server}) => makeServer(u, server));
      show(all, servers.length > FEW);
      say(all, shown.length < servers.length
        ? `Show all ${servers.length.toLocaleString('en')} servers`
        : `Show the first ${FEW}`);
    },
  };
};

// matches(text) says whether the filter lets something through.
export const draw = (matches, unwell) => {
  const section = $('#upstreams');
  const items = upstreams.map((upstream) => ({
    upstream,
    servers: upstream.servers
      .filter((s) => (!unwell || s.state !== 'up')
        && (matches(upstream.name)
          || matches(`${name(s)} ${s.state} ${s.reason}`)))
      .sort((a, b) => rank(a) - rank(b)),
  })).filter(({upstream: u, servers}) => servers.length
    || !unwell && u.total === 0 && matches(u.name));
  items.sort((a, b) => (a.upstream.usable < a.upstream.total ? 0 : 1)
    - (b.upstream.usable < b.upstream.total ? 0 : 1));

  list($('.list', section), items, ({upstream}) => upstream.name,
    makeUpstream);
  const empty = $('.empty', section);
  show(empty, items.length === 0);
  say(empty, upstreams.length === 0 ? 'There is none.'
    : unwell ? 'Nothing here is not well.' : 'Nothing here has that in it.');
};
