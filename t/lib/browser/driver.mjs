// Drives Chromium for Gateway::Browser: a line of JSON on standard input is
// {"do": name, "args": [...]}, the line that answers it {"value": ...} or
// {"error": text}.  Ends with its input.
//
//     node driver.mjs FOLDER-OF-node_modules CHROMIUM

import {readFileSync} from 'node:fs';
import {createInterface} from 'node:readline';

const [, , folder, executablePath] = process.argv;
const {chromium} =
  await import(`${folder}/node_modules/playwright-core/index.mjs`);

const browser = await chromium.launch({executablePath, args: [
  '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']});

let page = null;
let requests = [];
let complaints = [];

// A page is open() in a context of its own, as large as asked for.

const actions = {
  async open(url, options) {
    await page?.context().close();
    requests = [];
    complaints = [];
    const context = await browser.newContext(options);
    page = await context.newPage();
    page.setDefaultTimeout(20000);
    context.on('request', (request) => requests.push(request.url()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (/Content Security Policy|Trusted/.test(message.text())) {
        complaints.push(message.text());
      }
    });
    await page.goto(url);
  },

  js: (expression) => page.evaluate(expression),
  click: (selector) => page.click(selector),
  fill: (selector, text) => page.fill(selector, text),
  press: (...keys) => keys.reduce((before, key) =>
    before.then(() => page.keyboard.press(key)), Promise.resolve()),
  type: (text) => page.keyboard.type(text),
  resize: (width, height) => page.setViewportSize({width, height}),
  scheme: (colorScheme) => page.emulateMedia({colorScheme}),
  shot: (path) => page.screenshot({path}),

  // Answers requests for URLs of a pattern itself; without an answer it
  // breaks their connections.
  answer: (pattern, response) => page.route(pattern, (route) =>
    response ? route.fulfill(response) : route.abort('connectionrefused')),
  pass: (pattern) => page.unroute(pattern),

  requests: () => requests,
  complaints: () => complaints,

  async axe() {
    await page.evaluate(readFileSync(
      `${folder}/node_modules/axe-core/axe.min.js`, 'utf8'));
    const {violations} = await page.evaluate('axe.run()');
    return violations.map(({id, nodes}) =>
      `${id}: ${nodes.map(({html}) => html).join(' ')}`);
  },
};

for await (const line of createInterface({input: process.stdin})) {
  let answer;
  try {
    const {do: name, args} = JSON.parse(line);
    answer = {value: await actions[name](...args) ?? null};
  } catch (error) {
    answer = {error: error.message};
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

await browser.close();
