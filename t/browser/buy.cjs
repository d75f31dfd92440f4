// A reader buys and reads: with pictures of every page on the way (docs/guide.md shows some of them).
'use strict';
const { site, ok, is, like, main, lookAtAll, picture, portalLogin, shoot, tabTo } = require('./browser.cjs');
const {
    ARTICLE, SENTINEL, CONFIRMATION, BOUGHT_ONCE, control, shape, newReader, books, offerButton, orderButton, klarna, choose, at, focusIsOn,
    stubCalls, mainText, speaks, toPurchase, note, posted, order,
} = require('./sale.cjs');

const words = {
    sv: {
        buy: /Gå till betalning/, title: 'Kontrollera och beställ', price: /129\s?kr per månad/, renews: /tills du säger upp/,
        order: 'Beställ med betalningsskyldighet', keeps: /bara det som saknas|ersätter/, done: 'Tack för din beställning', read: 'Läs vidare',
        papers: [/Köpvillkor/, /personuppgifter/, /ångerrätten/],
    },
    en: {
        buy: /Go to payment/, title: 'Check and place your order', price: /SEK\s?129 per month|129\s?kr per month/, renews: /until you cancel/,
        order: 'Order with obligation to pay', keeps: /only what is missing|replace/, done: 'Thank you for your order', read: 'Continue reading',
        papers: [/Terms of purchase/, /personal data/, /withdrawal/],
    },
};

const methods = (calls) => calls.map((call) => call.method).filter((name) => name !== 'on').join(' ');
async function buys(open, language, width) {
    const w = words[language];
    const name = `${language}-${width}`;
    const who = await newReader();
    const page = await open({ width, locale: language === 'sv' ? 'sv-SE' : 'de-DE' });
    await note(page);
    const guide = language === 'sv' ? (...args) => picture(page, ...args) : async () => {};

    await page.goto(language === 'sv' ? ARTICLE : `${ARTICLE}?lang=en`);
    like(await offerButton(page, 'digital').innerText(), w.buy, `${name}: the wall has a button`);
    await guide('1-wall');
    await offerButton(page, 'digital').click();
    await guide('2-login', 'window');
    await portalLogin(page, who);
    like(page.url(), /\/payway\/offers\?/, `${name}: back from the portal at the offer`);
    await speaks(page, language, `${name}: offers`);
    await guide('3-offers');
    await offerButton(page, 'digital').click();

    // -- the purchase page
    await at(page, 'ready');
    like(page.url(), /\/payway\/purchase\/[0-9a-f]{32}$/, `${name}: the purchase page`);
    is(await page.locator('h1').innerText(), w.title, `${name}: its heading`);
    await speaks(page, language, `${name}: purchase`);
    const text = await page.locator('.payway-order').innerText();
    for (const [what, want] of [['the product', /Norrposten Digital/], ['the price', w.price], ['how it renews', w.renews], ['what Klarna writes', w.keeps],
        ...w.papers.map((want) => ['a paper', want])]) {
        like(text, want, `${name}: above the order button: ${what}`);
    }
    is(await orderButton(page).innerText(), w.order, `${name}: the button names the obligation`);
    is(methods(await stubCalls(page)), 'init load', `${name}: the widget is loaded when the page is drawn`);
    ok(await page.frameLocator('#payway-categories iframe').getByText('Klarna').first().isVisible(), `${name}: and is seen`);
    await lookAtAll(page, `buy-purchase-${language}`, { dark: true });
    await guide('4-purchase');

    // -- Klarna
    await orderButton(page).click();
    await klarna(page).waitFor();
    is(await orderButton(page).isDisabled(), true, `${name}: the page is locked while Klarna has the word`);
    is(await page.locator('#payway-categories').evaluate((fields) => fields.disabled), true, `${name}: the ways to pay too`);
    is(await page.locator('#payway-order').getAttribute('aria-busy'), 'true', `${name}: and says so`);
    await guide('5-klarna', 'window');
    await choose(page, 'Close');
    await at(page, 'ready');
    await order(page);

    // -- the confirmation
    await page.waitForURL(CONFIRMATION);
    const left = await posted(page);
    is(methods(left.calls), 'init load authorize authorize', `${name}: calls in order; one authorize for each press`);
    is(JSON.stringify([left.state, left.locked, left.posts]), '["submitting",true,1]', `${name}: approved: locked until the next page; posted once`);
    like(left.said, language === 'sv' ? /skickas/ : /being sent/, `${name}: and it says what happens`);
    const [load, authorize] = ['load', 'authorize'].map((method) => left.calls.find((call) => call.method === method));
    is(authorize.options.payment_method_category, load.options.payment_method_category, `${name}: authorize names what was loaded`);
    ok(left.calls.filter((call) => call.method === 'authorize').every((call) => call.activation), `${name}: while the press was alive`);
    const { requests } = await control('GET', `/requests?role=klarna&path=/redirect/&account=${who.id}`);
    is(requests.length, 1, `${name}: by way of Klarna`);
    is(await page.locator('h1').innerText(), w.done, `${name}: the confirmation`);
    await speaks(page, language, `${name}: confirmation`);
    like(await mainText(page), /EXAMPLE-\d+/, `${name}: with the order's number`);
    like(await mainText(page), w.price, `${name}: and the price`);
    is(await page.evaluate(() => document.activeElement.localName), 'h1', `${name}: which has the focus`);
    await lookAtAll(page, `buy-confirm-${language}`, { dark: true });
    await guide('6-confirm');
    await page.getByRole('main').getByRole('link', { name: w.read }).click();
    is(page.url().replace(/\?.*/, ''), ARTICLE, `${name}: continue reading: the article`);
    like(await page.content(), SENTINEL, `${name}: which opens`);
    await guide('7-article', 'window');
    is(await books(who), BOUGHT_ONCE, `${name}: one session, one order, one charge`);
    const all = await control('GET', `/requests?account=${who.id}`);
    is(all.requests.filter((request) => /customer.?token/i.test(request.path)).length, 0, `${name}: no customer token`);
    is(page.troubles.join('\n'), '', `${name}: no script error, nothing blocked`);
    await page.context().close();
}

// No pointer from the wall to the article, and several ways to pay, as Klarna names them.
async function byKeyboard(open) {
    const who = await newReader();
    const page = await open({ width: 1280 });
    await note(page);
    await shape({ session_categories: 'list' });
    await page.goto(ARTICLE);
    ok(await tabTo(page, /Gå till betalning/), 'keyboard: Tab finds the button of the wall');
    await page.keyboard.press('Enter');
    await page.waitForURL(/login/);
    await page.getByLabel('E-mail').focus();
    for (const key of [who.email, '\t', who.password]) await (key === '\t' ? page.keyboard.press('Tab') : page.keyboard.type(key));
    await page.keyboard.press('Enter');
    await page.waitForURL(/offers/);
    ok(await tabTo(page, /Gå till betalning/), 'keyboard: … and of the offers');
    await page.keyboard.press('Enter');
    await at(page, 'ready');
    await shape({ session_categories: 'none' });
    const radios = await page.getByRole('radio').evaluateAll((list) => list.map((radio) => `${radio.labels[0].innerText.trim()}${radio.checked ? ' *' : ''}`));
    is(radios.join(', '), 'Betala nu *, Autogiro, Betala senare', 'keyboard: three ways to pay, credit last, and none of it chosen');
    is(await page.locator('#payway-categories iframe').count(), 1, 'keyboard: one widget');
    await lookAtAll(page, 'buy-ways-sv', { dark: true });

    ok(await tabTo(page, /payway-category/), 'keyboard: Tab finds the ways to pay');
    await page.keyboard.press('ArrowDown');
    await page.locator('iframe#klarna-direct-debit-main').waitFor();
    await at(page, 'ready');
    is(await focusIsOn(page), await page.getByLabel('Autogiro').getAttribute('id'), 'keyboard: the arrow changes it, and the focus stays');
    is(await page.locator('iframe#klarna-pay-now-main').isVisible(), false, 'keyboard: the other widget is put away');
    ok(await tabTo(page, /Beställ med/), 'keyboard: Tab finds the order button');
    await shoot(page, 'buy-focus-1280', false);
    await page.keyboard.press('Enter');
    await klarna(page).waitFor();
    await page.keyboard.press('Enter'); // on Approve, where Klarna puts the focus
    await page.waitForURL(CONFIRMATION);
    const { calls } = await posted(page);
    is(calls.filter((call) => call.method !== 'on').map((call) => [call.method, call.options.payment_method_category].join(' ').trim()).join(', '),
        'init, load pay_now, load direct_debit, authorize direct_debit', 'keyboard: loaded by category, and authorized by the one that is shown');
    is(calls.at(-1).activation, true, 'keyboard: while the press was alive');
    ok(await tabTo(page, /Läs vidare/), 'keyboard: Tab finds the way on');
    await page.keyboard.press('Enter');
    await page.waitForURL(ARTICLE);
    like(await page.content(), SENTINEL, 'keyboard: reads');
    is(await books(who), BOUGHT_ONCE, 'keyboard: once');
    is(page.troubles.join('\n'), '', 'keyboard: no script error, nothing blocked');
    await page.context().close();
}

// A trial is paid by direct debit, and says at each step what it costs after.
async function trial(open, language) {
    const w = words[language];
    const who = await newReader();
    const page = await open({ width: 360, locale: language === 'sv' ? 'sv-SE' : 'en-GB' });
    const after = language === 'sv' ? /Gratis[\s\S]*Därefter 129 kr per månad/ : /Free[\s\S]*SEK 129 per month/;
    await note(page);
    await shape({ session_categories: 'list' });
    await page.goto(`${site.url}/premium/koren.html`);
    like(await page.locator('[data-offer="trial"]').innerText(), after, `trial ${language}: the wall says what it costs after`);
    await lookAtAll(page, `buy-wall-trial-${language}`);
    await toPurchase(page, who, { article: `${site.url}/premium/koren.html`, offer: 'trial' });
    await shape({ session_categories: 'none' });
    like(await page.locator('.payway-order').innerText(), after, `trial ${language}: and so does the order`);
    await lookAtAll(page, `buy-trial-${language}`);
    if (language === 'sv') await picture(page, '10-trial', '.payway-order');
    await order(page);
    await page.waitForURL(CONFIRMATION);
    is((await posted(page)).calls.filter((call) => call.method === 'load' || call.method === 'authorize').map((call) => call.options.payment_method_category).join(', '),
        'direct_debit, direct_debit', `trial ${language}: direct debit alone`);
    like(await mainText(page), after, `trial ${language}: the confirmation says it too`);
    await lookAtAll(page, `buy-confirm-trial-${language}`, { axe: false });
    await page.getByRole('main').getByRole('link', { name: w.read }).click();
    is(page.url(), `${site.url}/premium/koren.html`, `trial ${language}: on to the article`);
    like(await page.content(), /SENTINEL-ARTICLE-\d/, `trial ${language}: which opens`);
    is(await books(who), BOUGHT_ONCE, `trial ${language}: once`);
    await page.context().close();
}

// What starts later says when, and promises no reading before.
async function later(open, language) {
    const who = await newReader();
    const page = await open({ width: 360, locale: language === 'sv' ? 'sv-SE' : 'en-GB' });
    await toPurchase(page, who, { article: `${site.url}/premium/vindkraften.html`, offer: 'later' });
    const day = await page.locator('.payway-order time').innerText();
    like(day, /^20\d\d-\d\d-\d\d$/, `later ${language}: the order names the day`);
    await lookAtAll(page, `buy-later-${language}`, { axe: false });
    await order(page);
    await page.waitForURL(CONFIRMATION);
    like(await mainText(page), new RegExp(day), `later ${language}: and the confirmation`);
    is(await page.getByRole('main').getByRole('link', { name: words[language].read }).count(), 0, `later ${language}: no promise to read now`);
    await lookAtAll(page, `buy-confirm-later-${language}`, { axe: language === 'sv' });
    await page.context().close();
}

main(async (open) => {
    await buys(open, 'sv', 360);
    await buys(open, 'en', 1280);
    await byKeyboard(open);
    for (const language of ['sv', 'en']) {
        await trial(open, language);
        await later(open, language);
    }
});
