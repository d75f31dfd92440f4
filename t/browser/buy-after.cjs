// What follows an approval when it is not the confirmation: pages that are honest about the money, each with a way on.
'use strict';
const { ok, is, like, main, lookAtAll, picture, portalLogin } = require('./browser.cjs');
const {
    ARTICLE, SENTINEL, CONFIRMATION, BOUGHT_ONCE, control, shape, fault, newReader, books, offerButton, orderButton, at, mainText, speaks, toPurchase,
    order, beside,
} = require('./sale.cjs');

const locale = { sv: 'sv-SE', en: 'en-GB' };
const words = {
    sv: {
        failed: /reserverat belopp hos din bank släpps/, ended: /kan den ha avslutats/, again: 'Försök igen', shop: /Andra sätt att betala/, read: 'Läs vidare',
        unknown: 'Vi tar reda på hur det gick', once: /betalar inte två gånger/, step: 'Ett steg kvar', over: /påbörjat en ny.*Ingenting är beställt/s, code: /ange.* koden/i,
        order: 'Beställ med betalningsskyldighet',
    },
    en: {
        failed: /your bank shows a reserved amount, it will be released/, ended: /may have ended/, again: 'Try again', shop: /Other ways to pay/,
        read: 'Continue reading', unknown: 'We are finding out how it went', once: /not be charged twice/, step: 'One step left', over: /started again.*Nothing has been ordered/s,
        code: /give this code/i, order: 'Order with obligation to pay',
    },
};
const start = async (open, language, options) => {
    const who = await newReader();
    const page = await open({ width: 360, locale: locale[language] });
    const url = await toPurchase(page, who, options);
    return { who, page, url };
};
const link = (page, name) => page.getByRole('main').getByRole('link', { name });

// The payment method failed, which may have ended what the reader had before; the next try is a new session.
async function paymentFails(open, language) {
    const w = words[language];
    const { who, page, url } = await start(open, language);
    await control('POST', `/klarna-person/${who.id}`, { payment: 'failed' });
    await order(page);
    await page.locator('[data-error="payment_failed"]').waitFor();
    const text = await mainText(page);
    for (const name of ['failed', 'ended', 'code']) like(text, w[name], `${language}: payment failed: ${name}`);
    like(text, new RegExp(url.split('/').pop()), `${language}: payment failed: the code is the purchase's id`);
    is(await page.evaluate(() => document.activeElement.localName), 'h1', `${language}: payment failed: the heading has the focus`);
    like(await link(page, w.shop).getAttribute('href'), /\/v2\/shop\/example_digital\?/, `${language}: payment failed: the shop`);
    await speaks(page, language, `${language}: payment failed`);
    if (language === 'sv') await picture(page, '9-failed');
    await lookAtAll(page, `buy-payment-failed-${language}`, { axe: language === 'sv', dark: language === 'sv' });
    await page.goto(ARTICLE);
    ok(!SENTINEL.test(await page.content()), `${language}: payment failed: the article is closed`);
    await page.goto(url);
    await page.locator('[data-error="payment_failed"]').waitFor();
    await control('POST', `/klarna-person/${who.id}`, { payment: 'approved' });
    await link(page, w.again).click();
    await offerButton(page, 'digital').click();
    await at(page, 'ready');
    await speaks(page, language, `${language}: the next try`);
    await order(page);
    await page.waitForURL(CONFIRMATION);
    is(await books(who), 'sessions 2, orders 2, charges 1', `${language}: payment failed: the next try is another session, and one charge`);
    is(page.troubles.join('\n'), '', `${language}: payment failed: nothing blocked`);
    await page.context().close();
}

// The answer is lost on the way: the page finds out, and the reader reads meanwhile.
async function answerLost(open, language) {
    const w = words[language];
    const { who, page, url } = await start(open, language);
    await shape({ orders_delay: 3600, products_delay: 3600 });
    await fault({ role: 'api', path: '/external/api/v1/klarna_payments/place_order', kind: 'cut_after', times: 1 });
    await order(page);
    await page.locator('#payway-wait[data-state="unknown"]').waitFor();
    is(await page.locator('h1').innerText(), w.unknown, `${language}: lost: the page says that we are finding out`);
    like(await mainText(page), w.once, `${language}: lost: and that nobody pays twice`);
    await speaks(page, language, `${language}: lost`);
    if (language === 'sv') await picture(page, '8-wait');
    await lookAtAll(page, `buy-wait-${language}`, { axe: language === 'sv', dark: language === 'sv' });

    const reading = await beside(page);
    await reading.goto(url);
    await link(reading, w.read).click();
    await reading.waitForURL(/flottningen/);
    like(await reading.content(), SENTINEL, `${language}: lost: the article is open meanwhile`);
    await reading.close();
    const plain = await beside(page, open, { width: 360, locale: locale[language], javaScriptEnabled: false });
    await plain.goto(url);
    like(await plain.content(), /<noscript><meta http-equiv="refresh" content="\d+">/, `${language}: lost: without script the page fetches itself`);

    await shape({ orders_delay: 0, products_delay: 0 });
    if (language === 'en') { // once is enough: Payway is asked every five seconds at most
        for (const one of [page, plain]) await one.context().close();
        return;
    }
    await page.waitForURL(CONFIRMATION);
    like(await mainText(page), /EXAMPLE-\d+/, `${language}: lost: found: the page goes on to the confirmation by itself`);
    await plain.reload();
    like(plain.url(), CONFIRMATION, `${language}: lost: and without script at the next look`);
    is(await books(who), BOUGHT_ONCE, `${language}: lost: sent once`);
    is(page.troubles.join('\n'), '', `${language}: lost: no script error, nothing blocked`);
    for (const one of [page, plain]) await one.context().close();
}

// Nobody is logged in any more when the form arrives. The approval waits; after the login one button is left.
async function loginBetween(open, language) {
    const w = words[language];
    const { who, page, url } = await start(open, language);
    for (const name of ['payway', 'payway_sso']) await page.context().clearCookies({ name });
    await order(page);
    await page.waitForURL(/\/login\/index/);
    await portalLogin(page, who);
    await page.locator('#payway-purchase:not([data-sdk])').waitFor();
    is(page.url().split('?')[0], url, `${language}: login between: back at the purchase`);
    is(await page.locator('h1').innerText(), w.step, `${language}: login between: one step is left`);
    is(await page.locator('iframe').count(), 0, `${language}: login between: no widget`);
    is(await books(who), 'sessions 1, orders 0, charges 0', `${language}: login between: nothing is ordered before the button`);
    await speaks(page, language, `${language}: login between`);
    await lookAtAll(page, `buy-resume-${language}`, { axe: language === 'sv' });
    const plain = await beside(page, open, { width: 360, locale: locale[language], javaScriptEnabled: false });
    await plain.goto(page.url());
    await plain.getByRole('button', { name: w.order }).click();
    await plain.waitForURL(CONFIRMATION);
    ok(true, `${language}: login between: the button works without script`);
    await orderButton(page).dblclick();
    await page.waitForURL(CONFIRMATION);
    is(await books(who), BOUGHT_ONCE, `${language}: login between: pressed in both: one order`);
    for (const one of [page, plain]) await one.context().close();
}

// A purchase that another took the place of, bought in the other language.
async function over(open, language) {
    const other = language === 'sv' ? 'en' : 'sv';
    const { who, page, url } = await start(open, language);
    await page.goto(`${ARTICLE}?lang=${other}`);
    await offerButton(page, 'digital').click();
    await at(page, 'ready');
    is(page.url() === url, false, `${language}: over: another language, another session`);
    const next = page.url();
    await page.goto(url);
    await page.locator('[data-error="session_expired"]').waitFor();
    like(await mainText(page), words[language].over, `${language}: over: nothing was ordered`);
    await speaks(page, language, `${language}: over`);
    await lookAtAll(page, `buy-over-${language}`, { axe: language === 'sv' });
    await page.goto(next);
    await at(page, 'ready');
    await order(page);
    await page.waitForURL(CONFIRMATION);
    await speaks(page, other, `${language}: the other one buys`);
    is(await books(who), 'sessions 2, orders 1, charges 1', `${language}: over: one order`);
    await page.context().close();
}

main(async (open) => {
    for (const language of ['sv', 'en']) {
        for (const test of [paymentFails, answerLost, loginBetween, over]) await test(open, language);
    }
});
