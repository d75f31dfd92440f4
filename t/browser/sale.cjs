// What the tests of a purchase share: readers of their own, the simulator's books, and the steps from the wall to the order.
'use strict';
const { randomUUID } = require('node:crypto');
const { site, ok, is, portalLogin, watch } = require('./browser.cjs');

const ARTICLE = `${site.url}/premium/flottningen.html`;
const SENTINEL = /SENTINEL-ARTICLE-1/;
const CONFIRMATION = /\/payway\/confirm\/[0-9a-f]{32}(\?|$)/;
const AUTHORIZE = '**/payway/authorize/*';
const SDK = '**/kp/lib/v1/api.js';
const API = '/external/api/v1/klarna_payments';

// ---- the simulator ----

async function control(method, path, body) {
    const answer = await fetch(site.control + path, { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`simulator: ${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
}

const shape = (switches) => control('POST', '/shape', switches);
const fault = (order) => control('POST', '/fault', order);

// A reader with an account and without the product.
async function newReader() {
    const login = { email: `${randomUUID().slice(0, 8)}@example.se`, password: randomUUID() };
    const { id } = await control('POST', '/accounts', { ...login, organisation: site.organisation, first_name: 'Test', last_name: 'Testsson' });
    return { id, ...login };
}

// What Payway has seen of this reader: sessions made, orders placed, charges; as text, to compare.
async function books(who) {
    const { requests } = await control('GET', `/requests?role=api&account=${who.id}&path=${API}/`);
    const { charges } = await control('GET', '/books');
    const count = (name) => requests.filter((request) => request.path === `${API}/${name}`).length;
    return `sessions ${count('create_session')}, orders ${count('place_order') + count('place_trial_order')}, charges ${
        charges.filter((charge) => charge.account === who.id).length}`;
}
const BOUGHT_ONCE = 'sessions 1, orders 1, charges 1';

// ---- the pages ----

const offerButton = (page, offer) => page.locator(`[data-offer="${offer}"] form[action$="/buy"] button`);
const orderButton = (page) => page.locator('#payway-order button');
const klarna = (page) => page.getByRole('dialog', { name: 'Klarna' });
const choose = (page, what) => klarna(page).getByRole('button', { name: what, exact: true }).click();
const at = (page, state) => page.locator(`#payway-purchase[data-state="${state}"]`).waitFor();
const said = (page, name) => page.locator(`#payway-messages[data-said="${name}"]`).waitFor();
const status = (page, name) => page.locator(`#payway-status[data-said="${name}"]`).waitFor({ state: 'attached' });
const messages = (page) => page.locator('#payway-messages');
const focusIsOn = (page) => page.evaluate(() => document.activeElement.id);
const stubCalls = (page) => page.evaluate(() => globalThis.KlarnaStub.calls);

const mainText = (page) => page.locator('main').innerText();

// The page is in `language` to the last word; but what Payway says of a package is Swedish.
async function speaks(page, language, name) {
    is(await page.getAttribute('html', 'lang'), language, `${name}: the language`);
    if (language !== 'sv') {
        const text = (await mainText(page)).replaceAll('Alla artiklar, på webben och i mobilen.', '');
        ok(!/[åäöÅÄÖ]/.test(text), `${name}: not a word of Swedish`, text);
    }
}

// From the wall to the purchase page: the button, the portal's login, the button again.
async function toPurchase(page, who, { article = ARTICLE, offer = 'digital', state = 'ready' } = {}) {
    await page.goto(article);
    await offerButton(page, offer).click();
    await portalLogin(page, who);
    await offerButton(page, offer).click();
    await at(page, state);
    return page.url();
}

// Klarna's script says `scenario` of itself, whatever the session says; null: as the session says.
async function act(page, scenario) {
    await page.unroute(SDK);
    if (!scenario) return;
    await page.route(SDK, async (route) => {
        const answer = await route.fetch();
        const script = await answer.text();
        if (!script.includes('scenario: null')) throw new Error('api.js has no scenario to set');
        await route.fulfill({ response: answer, body: script.replace('scenario: null', `scenario: '${scenario}'`) });
    });
}

// Leaves in sessionStorage how the page was when it posted its form: the next page tells. (Asking the page itself while it
// leaves would wait for the next one.)
async function note(page) {
    await page.addInitScript(() => {
        const submit = HTMLFormElement.prototype.submit;
        HTMLFormElement.prototype.submit = function () {
            const posts = Number(sessionStorage.getItem('posts') || 0) + 1;
            sessionStorage.setItem('posts', posts);
            sessionStorage.setItem('posted', JSON.stringify({
                calls: globalThis.KlarnaStub.calls,
                state: document.getElementById('payway-purchase').dataset.state,
                locked: document.querySelector('#payway-order button').disabled && document.getElementById('payway-categories').disabled,
                said: document.getElementById('payway-status').innerText,
            }));
            return submit.call(this);
        };
    });
}
const posted = (page) => page.evaluate(() => ({ ...JSON.parse(sessionStorage.getItem('posted')), posts: Number(sessionStorage.getItem('posts')) }));

// Presses the order button and approves at Klarna.
async function order(page) {
    await orderButton(page).click();
    await choose(page, 'Approve');
}

// Another page in the browser of `page`; with `options`, one with its cookies in a browser of another kind.
async function beside(page, open, options) {
    if (open) return open({ ...options, storageState: await page.context().storageState() });
    return watch(await page.context().newPage());
}

module.exports = {
    ARTICLE, SENTINEL, CONFIRMATION, AUTHORIZE, SDK, BOUGHT_ONCE, control, shape, fault, newReader, books, offerButton, orderButton, klarna,
    choose, at, said, status, messages, focusIsOn, stubCalls, mainText, speaks, toPurchase, act, note, posted, order, beside,
};
