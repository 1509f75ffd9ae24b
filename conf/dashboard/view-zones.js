// The limiter's zones, as its metrics tell of them.

import {$, count, h, list, mark, say, show} from './dom.js';
import {Counters, brief, plot} from './series.js';

const FEW = 20;         // zones that are shown unasked

const counters = new Counters();

let zones = [];
let store = null;
let all = false;
let redraw;

export const start = (changed) => {
  redraw = changed;
};

const COUNTERS = {
  tbucket_evictions_total: 'evictions',
  tbucket_delayed_total: 'delayed',
};

const GAUGES = {
  tbucket_buckets: 'buckets',
  tbucket_clients: 'clients',
  tbucket_inflight: 'inflight',
};

export const measure = (metrics) => {
  const at = Date.now();
  const found = new Map();
  const zone = ({zone: name}) => {
    if (!found.has(name)) {
      found.set(name, {name});
    }
    return found.get(name);
  };

  for (const {labels, value} of metrics.get('tbucket_requests_total') ?? []) {
    zone(labels);
    counters.add(`${labels.result} ${labels.zone}`, at, value);
  }
  for (const [metric, name] of Object.entries(COUNTERS)) {
    for (const {labels, value} of metrics.get(metric) ?? []) {
      zone(labels)[name] = value;
      counters.add(`${name} ${labels.zone}`, at, value);
    }
  }
  for (const [metric, name] of Object.entries(GAUGES)) {
    for (const {labels, value} of metrics.get(metric) ?? []) {
      zone(labels)[name] = value;
    }
  }
  zones = [...found.values()];
  counters.forget(at - 9000);

  const up = metrics.get('tbucket_store_up')?.[0].value;
  store = up === undefined ? null
    : {up: up === 1,
       age: metrics.get('tbucket_store_sync_seconds')?.[0].value ?? NaN};
};

const rate = (result, zone) => counters.rate(`${result} ${zone.name}`);
const refuses = (zone) => counters.get(`rejected ${zone.name}`)?.grew();
const displaces = (zone) => counters.get(`evictions ${zone.name}`)?.grew();

export const known = () => zones.length > 0;

// Zones with refusals in the last seconds, the most first.
export const refusing = () => zones
  .map((zone) => ({zone, rate: rate('rejected', zone)}))
  .filter((one) => one.rate > 0)
  .sort((a, b) => b.rate - a.rate);

export const storeFails = () => store !== null && !store.up;

const makeZone = (zone) => {
  const title = h('h3', {}, zone.name);
  const passed = h('span', {class: 'passed'});
  const rejected = h('span');
  const line = plot(`Passed and refused in ${zone.name}`, 'line', 'refused');
  const numbers = h('p', {class: 'figures'});
  const node = h('article', {class: 'zone'},
    h('div', {class: 'head'}, title,
      h('p', {class: 'rates'}, passed, ' ', rejected)),
    line.node, numbers);

  return {
    node,
    update(z) {
      const dry = rate('dry_run', z);
      say(passed, `${brief(rate('passed', z))} passed/s`);
      say(rejected, `${brief(rate('rejected', z))} refused/s`);
      mark(rejected, rate('rejected', z) > 0 ? 'bad' : 'quiet');
      line.draw(counters.get(`passed ${z.name}`),
        counters.get(`rejected ${z.name}`));
      say(numbers, [
        count(z.buckets ?? 0, 'bucket'),
        `${count(z.clients ?? 0, 'client')} registered`,
        z.inflight ? `${brief(z.inflight)} in flight` : '',
        dry > 0 ? `${brief(dry)}/s would be refused` : '',
        rate('delayed', z) > 0 ? `${brief(rate('delayed', z))}/s held` : '',
        displaces(z) ? `full: ${brief(rate('evictions', z))} displaced/s`
          : '',
      ].filter(Boolean).join(' · '));
    },
  };
};

const more = h('button', {type: 'button', click() {
  all = !all;
  redraw();
}});

export const draw = (matches, unwell) => {
  const section = $('#zones');
  const bad = (zone) => refuses(zone) || displaces(zone);
  const items = zones
    .filter((zone) => matches(zone.name) && (!unwell || bad(zone)))
    .sort((a, b) => (bad(a) ? 0 : 1) - (bad(b) ? 0 : 1));
  const shown = all ? items : items.slice(0, FEW);

  list($('.list', section), shown, ({name}) => name, makeZone);
  if (!more.isConnected) {
    section.append(more);
  }
  show(more, items.length > FEW);
  say(more, shown.length < items.length ? `Show all ${items.length} zones`
    : `Show the first ${FEW}`);

  const empty = $('.empty', section);
  show(empty, items.length === 0);
  say(empty, zones.length === 0 ? 'There is none.'
    : unwell ? 'Nothing here is not well.' : 'Nothing here has that in it.');

  const word = $('#store');
  show(word, store !== null);
  if (store !== null) {
    mark(word, store.up ? 'pill good' : 'pill bad');
    say(word, !store.up ? 'store fails: no changes'
      : Number.isNaN(store.age) ? 'no store, or not synced yet'
        : `store up, synced ${brief(store.age)} s ago`);
  }
};
