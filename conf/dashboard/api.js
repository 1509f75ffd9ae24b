// What the admin server answers, and plain words for what it does not.

const TIMEOUT = 5000;

export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;     // 0: there was no answer
  }
}

// How far the server's clock is ahead of ours, in ms.
let ahead = 0;

export const serverNow = () => Date.now() + ahead;

const send = async (path, method, body) => {
  try {
    const response = await fetch(path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: body === undefined ? {} : {'Content-Type': 'application/json'},
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const date = Date.parse(response.headers.get('Date'));
    if (Math.abs(date - serverNow()) > 1500) {
      ahead = date - Date.now();
    }
    return {response, text: await response.text()};
  } catch (error) {
    throw new Failure(error.name === 'TimeoutError'
      ? `no answer within ${TIMEOUT / 1000} seconds`
      : 'no connection, or one that broke');
  }
};

// An error in the API's own words, or in those of who answered in its place.
const refusal = (response, text) => {
  try {
    return JSON.parse(text).message ?? text;
  } catch {
    return `${response.status} ${response.statusText}`.trim();
  }
};

// The text of a resource; throws a Failure unless the status is 2xx.
export const ask = async (path, method = 'GET', body = undefined) => {
  const {response, text} = await send(path, method, body);
  if (!response.ok) {
    throw new Failure(refusal(response, text), response.status);
  }
  return text;
};

export const askJson = async (path, method, body) => {
  const text = await ask(path, method, body);
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    throw new Failure('the answer is not JSON');
  }
};

// The methods that a resource allows: those are named by its refusal of one
// that it does not know.
export const allowed = async (path) => {
  const {response} = await send(path, 'OPTIONS');
  return (response.headers.get('Allow') ?? '').split(/\s*,\s*/);
};

// Prometheus' text format: a map from name to [{labels, value}].
export const samples = (text) => {
  const found = new Map();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] =
      /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === undefined || name.endsWith('_bucket')) {
      continue;
    }
    const sample = {labels: {}, value: Number(value)};
    for (const [, key, quoted] of
      labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      sample.labels[key] = quoted.replace(/\\(.)/g,
        (_, char) => (char === 'n' ? '\n' : char));
    }
    found.has(name) ? found.get(name).push(sample) : found.set(name, [sample]);
  }
  return found;
};
