// The page: asks the APIs once a second while it is looked at, and says what
// is not well.

import {ask, samples} from './api.js';
import * as clients from './view-clients.js';
import {$, count, h, list, mark, say, show} from './dom.js';
import {brief} from './series.js';
import * as upstreams from './view-upstreams.js';
import * as zones from './view-zones.js';

const PERIOD = 1000;    // ms between two rounds
const PROBE = 30000;    // ms after which it is asked anew who takes changes
const SHORT = 4;        // items of an answer

const at = (name) => $(`meta[name="gateway:${name}"]`).content
  .split(' ').filter(Boolean);

const clock = (time) => new Date(time).toLocaleTimeString('en-GB');

// What is asked, and how that went.
class Source {
  constructor(name, what, section, poll, probe) {
    Object.assign(this, {name, what, section, poll, probe});
    this.good = 0;          // when it was answered last
    this.failure = null;
    this.absent = false;    // the admin server has no such location
    this.writes = true;
    this.probed = 0;
  }

  async ask() {
    try {
      await this.poll();
      this.good = Date.now();
      if (this.probe && Date.now() - this.probed > PROBE) {
        this.writes = await this.probe();
        this.probed = Date.now();
      }
      this.failure = null;
      this.absent = false;
    } catch (failure) {
      this.failure = failure;
      this.absent = failure.status === 404;
      this.probed = 0;
    }
  }

  // What is to be added where something old is shown.
  asOf() {
    return this.failure === null ? '' : ` That was at ${clock(this.good)}.`;
  }

  // What has to be told of it, or null.
  notice() {
    if (this.failure === null || this.absent) {
      return null;
    }
    const since = this.good
      ? ` What is shown of it is from ${clock(this.good)}.` : '';
    return `${this.name} cannot be reached: ${this.failure.message}.${since}`;
  }
}

const [limiter, balancer] = at('metrics');

const sources = [
  new Source('The upstreams API', 'servers', '#upstreams', upstreams.poll,
    upstreams.probe),
  new Source('The clients API', 'clients', '#top', clients.poll,
    clients.probe),
  new Source('The limiter\'s metrics', 'zones', '#zones',
    async () => zones.measure(samples(await ask(limiter)))),
  new Source('The balancer\'s metrics', 'answers', null,
    async () => upstreams.measure(samples(await ask(balancer)))),
];
const [servers, api, metrics] = sources;

const tell = (text) => say($('#said'), text);

const matches = (text) => text.toLowerCase()
  .includes($('#filter').value.trim().toLowerCase());

const answer = (id, words, state, items) => {
  say($(`#${id} .verdict`), words);
  mark($(`#${id}`), `answer ${state}`);
  list($(`#${id} ul`), items, ({key}) => key, (item) => {
    const text = h('span');
    const node = h('li', {}, ...(item.head ? [item.head(), ' '] : []), text);
    return {node, update: (now) => say(text, now.text)};
  });
};

const some = (items, rest) => (items.length > SHORT + 1
  ? [...items.slice(0, SHORT),
     {key: '', text: `and ${(items.length - SHORT).toLocaleString('en')} ${
       rest}`}]
  : items);

const answerServers = () => {
  const out = upstreams.out();
  const emptied = upstreams.emptied();

  if (servers.absent) {
    answer('out', 'There is no upstreams API here.', 'quiet', []);
    return out;
  }
  if (!servers.good) {
    answer('out', 'Not known.', servers.failure ? 'bad' : 'quiet', []);
    return out;
  }
  answer('out', (out.length ? `${out.length.toLocaleString('en')} of ${
    count(upstreams.total(), 'server')} ${out.length === 1 ? 'is' : 'are'} out.`
    : `None of ${count(upstreams.total(), 'server')}.`) + servers.asOf(),
  emptied.length ? 'bad' : out.length ? 'warn' : 'good', some([
    ...emptied.map(({name}) => ({key: name,
      text: `${name} has no server left: its clients get 502`})),
    ...out.map(({upstream, server}) => ({
      key: `${upstream.name} ${server.id}`,
      head: () => h('b', {}, upstreams.name(server)),
      text: [`of ${upstream.name} is ${server.state}`,
        server.reason && `: ${server.reason}`,
        upstreams.lasting(server) && `, for ${upstreams.lasting(server)}`,
      ].filter(Boolean).join(''),
    })),
  ], 'more'));
  return out;
};

const answerClients = () => {
  const refusing = zones.refusing();
  const limited = clients.limited();

  if (metrics.absent && api.absent) {
    answer('limited', 'There is no limiter here.', 'quiet', []);
    return refusing;
  }
  if (!metrics.good && !api.good) {
    answer('limited', 'Not known.', metrics.failure ? 'bad' : 'quiet', []);
    return refusing;
  }
  if (limited.length) {
    answer('limited', `${count(limited.length, 'client')} ${
      limited.length === 1 ? 'is' : 'are'} refused.`, 'warn',
    some(limited.map(({client, rate}) => ({
      key: `${client.api} ${client.client_id}`,
      head: () => clients.link(client),
      text: `${brief(rate)} refused/s`,
    })), 'more'));
    return limited;
  }
  answer('limited', refusing.length
    ? `${brief(refusing.reduce((n, {rate}) => n + rate, 0))
    } requests a second are refused.`
    : metrics.failure ? `Not known since ${clock(metrics.good)}.`
      : 'None: nobody is refused.', refusing.length || metrics.failure
    ? 'warn' : 'good',
  some(refusing.map(({zone, rate}) => ({key: zone.name,
    head: () => h('b', {}, zone.name),
    text: `refuses ${brief(rate)} a second`})), 'zones more'));
  return refusing;
};

// What is read out: which servers are out, and whether anybody is refused.
const spoken = (out, refused) => [
  out.length ? `Out: ${out.slice(0, SHORT)
    .map(({server}) => `${upstreams.name(server)} ${server.state}`)
    .join(', ')}` : 'No server is out',
  refused.length ? 'requests are refused' : 'no request is refused',
].join('; ');

const notices = () => {
  const all = sources.map((source) => ({key: source.name, state: 'bad',
    text: source.notice()})).filter(({text}) => text);
  const readonly = [servers, api]
    .filter(({good, writes}) => good && !writes);

  if (zones.storeFails()) {
    all.push({key: 'store', state: 'warn', text: 'The store takes no writes: '
      + 'limits hold, clients cannot be changed. The error log says why.'});
  }
  if (readonly.length) {
    all.push({key: 'readonly', state: 'quiet', text: readonly.length === 2
      ? 'Both APIs are read-only here: this page changes nothing.'
      : `${readonly[0].name} is read-only here: this page does not change ${
        readonly[0].what}.`});
  }
  list($('#notices'), all, ({key}) => key, ({state}) => {
    const node = h('p', {class: `notice ${state}`,
      role: state === 'bad' ? 'alert' : 'status'});
    return {node, update: ({text}) => say(node, text)};
  });
};

let spokenLast = '';

const draw = () => {
  const unwell = $('#unwell').checked;

  upstreams.draw(matches, unwell);
  zones.draw(matches, unwell);
  clients.draw(matches);
  notices();

  const out = answerServers();
  const refused = answerClients();
  const words = spoken(out, refused);
  if (servers.good && words !== spokenLast) {
    tell(words);
    spokenLast = words;
  }

  for (const {section, failure, absent} of sources) {
    if (section) {
      $(section).classList.toggle('stale', failure !== null && !absent);
      show($(section), !absent);
    }
  }
  show($('#client'), !api.absent);

  const lost = sources.every(({failure}) => failure !== null);
  const bad = lost || sources.some((source) => source.notice())
    || upstreams.emptied().length > 0;
  mark($('#pulse'), lost ? 'lost' : bad ? 'bad'
    : out.length || refused.length ? 'warn' : 'good');
  say($('#live'), lost ? 'no answer' : 'live, every second');
  document.title = `${lost ? 'No answer · ' : out.length
    ? `${out.length} out · ` : ''}Gateway`;
};

let timer = null;
let round = 0;

const turn = async () => {
  const mine = ++round;
  const began = Date.now();
  clearTimeout(timer);
  await Promise.all(sources.map((source) => source.ask()));
  if (mine !== round) {
    return;
  }
  draw();
  if (!document.hidden) {
    timer = setTimeout(turn, Math.max(PERIOD / 4,
      PERIOD - (Date.now() - began)));
  }
};

document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    clearTimeout(timer);
    round++;
    say($('#live'), 'paused');
  } else {
    turn();
  }
});

upstreams.start(at('upstreams')[0], turn);
zones.start(draw);
clients.start(at('clients'), at('plans')[0], tell);

$('#filter').addEventListener('input', draw);
$('#unwell').addEventListener('change', draw);
$('#find').addEventListener('submit', (event) => event.preventDefault());
say($('#host'), location.host);

turn();
