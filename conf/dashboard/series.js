// The last minute of a counter: how fast it grows, and a plot of that.

import {h, say, svg} from './dom.js';

const SPAN = 60000;     // ms that are kept
const STEP = 1500;      // ms over which a rate is taken, at least
const GAP = 6000;       // ms without a sample, after which nothing is known

export class Series {
  constructor(halves = false) {
    this.points = [];   // [time in ms, value of the counter]
    this.halves = halves;
  }

  // A counter that has gone down was started anew, or halved.
  add(at, value) {
    const {points} = this;
    const last = points.at(-1);
    if (last && this.halves && value < last[1]
        && value >= Math.floor(last[1] / 2)) {
      for (const point of points) {
        point[1] = Math.floor(point[1] / 2);
      }
    } else if (last && (value < last[1] || at - last[0] > GAP)) {
      points.length = 0;
    }
    points.push([at, value]);
    while (points[0][0] < at - SPAN - STEP) {
      points.shift();
    }
  }

  // What is added to the counter in a second as of the sample at index.
  at(index) {
    const {points} = this;
    const [time, value] = points[index];
    for (let i = index - 1; i >= 0; i--) {
      if (time - points[i][0] >= STEP || i === 0) {
        return (value - points[i][1]) * 1000 / (time - points[i][0]);
      }
    }
    return null;
  }

  rate() {
    const last = this.points.at(-1);
    return last && Date.now() - last[0] < GAP
      ? this.at(this.points.length - 1) : null;
  }

  // Whether it grew in the minute, but for the first sample.
  grew() {
    const {points} = this;
    return points.length > 1 && points.at(-1)[1] > points[0][1];
  }

  rates() {
    return this.points.map(([time], i) => [time, this.at(i)])
      .filter(([, rate]) => rate !== null);
  }
}

// Series by key, which are forgotten when they get no more samples.
export class Counters {
  constructor(halves = false) {
    this.all = new Map();
    this.halves = halves;       // now and then, so that what is old fades
  }

  add(key, at, value) {
    if (!this.all.has(key)) {
      this.all.set(key, new Series(this.halves));
    }
    this.all.get(key).add(at, value);
  }

  get(key) {
    return this.all.get(key);
  }

  rate(key) {
    return this.all.get(key)?.rate() ?? null;
  }

  forget(before) {
    for (const [key, series] of this.all) {
      if (series.points.at(-1)[0] < before) {
        this.all.delete(key);
      }
    }
  }
}

const WIDTH = 240;
const HEIGHT = 40;

// A plot of lines, each a class of style.css.  What it shows is said in words
// as well.
export const plot = (what, ...classes) => {
  const lines = classes.map((name) => svg('polyline', {class: name}));
  const area = svg('polygon', {class: 'area'});
  const image = svg('svg', {
    'role': 'img', 'viewBox': `0 0 ${WIDTH} ${HEIGHT}`,
    'preserveAspectRatio': 'none',
  }, area, ...lines);
  const scale = h('figcaption', {'aria-hidden': 'true'});
  const node = h('figure', {class: 'plot'}, image, scale);

  return {
    node,
    draw(...series) {
      const now = Date.now();
      const drawn = series.map((one) => one?.rates() ?? []);
      const most = Math.max(0, ...drawn.flat().map(([, rate]) => rate));
      const x = (time) => (WIDTH * (1 - (now - time) / SPAN)).toFixed(1);
      const y = (rate) =>
        (HEIGHT - 1 - rate / (most || 1) * (HEIGHT - 3)).toFixed(1);
      const points = drawn.map((rates) => rates
        .map(([time, rate]) => `${x(time)},${y(rate)}`).join(' '));

      points.forEach((all, i) => lines[i].setAttribute('points', all));
      area.setAttribute('points', drawn[0].length === 0 ? ''
        : `${x(drawn[0][0][0])},${HEIGHT} ${points[0]} ${
          x(drawn[0].at(-1)[0])},${HEIGHT}`);
      say(scale, `up to ${brief(most)}/s in a minute`);
      image.setAttribute('aria-label',
        `${what} in the last minute, at most ${brief(most)} a second`);
    },
  };
};

// A number in a few characters: 0.5, 17, 1,234, 56.7k.
export const brief = (number) => {
  if (number === null || number === undefined || Number.isNaN(number)) {
    return '–';
  }
  if (number < 0) {
    return `-${brief(-number)}`;
  }
  if (number === 0 || number >= 9.95) {
    return number < 99999.5
      ? Math.round(number).toLocaleString('en')
      : Intl.NumberFormat('en', {notation: 'compact'}).format(number);
  }
  return number < 0.05 ? '<0.1' : number.toFixed(1);
};
