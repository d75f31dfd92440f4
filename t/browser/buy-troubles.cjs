// The purchase page when Klarna says no, says nothing, or is not there. Each case has words of its own, leaves the page
// usable or says where to go, and takes the focus to what it says. Time is playwright's clock where there is much of it.
'use strict';
const { ok, is, like, main, lookAtAll } = require('./browser.cjs');
const {
    CONFIRMATION, SDK, BOUGHT_ONCE, shape, newReader, books, offerButton, orderButton, klarna, choose, at, said, status, messages, focusIsOn,
    stubCalls, speaks, toPurchase, act, note, posted, order, beside,
} = require('./sale.cjs');

const locale = { sv: 'sv-SE', en: 'en-GB' };
const words = {
    sv: {
        aborted: /avbröts hos Klarna/, fixable: /Rätta dem i Klarnas ruta/, refused: /godkände inte betalningen/, 'refused-other': /ett annat betalsätt/,
        absent: /tar inte emot betalningen/, 'absent-other': /ett annat betalsätt/, blocked: /annonsblockerare/, late: /svarar inte/, expired: /för länge/,
        trouble: /gick fel/, waiting: /BankID/, slow: /längre tid än vanligt/, shop: /Andra sätt att betala/, reload: /Läs in sidan igen/, restart: /Börja om/,
        script: /behöver JavaScript/, app: /Safari eller Chrome/, not_sent: /Inga pengar har dragits/, unavailable: /ingenting är beställt/,
    },
    en: {
        aborted: /cancelled at Klarna/, fixable: /Klarna’s form/, refused: /did not approve the payment/, 'refused-other': /another way to pay/,
        absent: /can’t take the payment/, 'absent-other': /another way to pay/, blocked: /ad blocker/, late: /is not answering/, expired: /too long/,
        trouble: /went wrong/, waiting: /BankID/, slow: /longer than usual/, shop: /Other ways to pay/, reload: /Reload the page/, restart: /Start again/,
        script: /needs JavaScript/, app: /Safari or Chrome/, not_sent: /not been charged/, unavailable: /nothing has been ordered/,
    },
};

// The page says `name` in words of its own, in its language, and whoever does not see it hears it.
async function complains(page, language, name, state) {
    await said(page, name);
    const text = await messages(page).innerText();
    like(text, words[language][name], `${language}: ${name}: says so`);
    is(await focusIsOn(page), 'payway-messages', `${language}: ${name}: the focus is there`);
    is(await page.getAttribute('#payway-purchase', 'data-state'), state, `${language}: ${name}: the page is ${state}`);
    is(await orderButton(page).isEnabled(), state === 'ready', `${language}: ${name}: the order button accordingly`);
    await speaks(page, language, `${language}: ${name}`);
    await lookAtAll(page, `buy-${name}-${language}`, { axe: language === 'sv' });
    return text;
}

async function offersShop(page, language, name) {
    const shop = messages(page).getByRole('link', { name: words[language].shop });
    like(await shop.getAttribute('href'), /\/v2\/shop\/example_digital\?returnUrl=/, `${language}: ${name}: the portal's shop is the other way`);
}

// One way to pay. Every case happens to one and the same purchase.
async function alone(open, language) {
    const w = words[language];
    const who = await newReader();
    const page = await open({ width: 360, locale: locale[language] });
    const url = `${await toPurchase(page, who)}?lang=${language}`;

    await orderButton(page).click();
    await choose(page, 'Close');
    await complains(page, language, 'aborted', 'ready');
    await orderButton(page).click();
    is(await messages(page).innerText(), '', `${language}: a new press takes the old message away`);
    await choose(page, 'Wrong details');
    await complains(page, language, 'fixable', 'ready');
    await page.locator('#payway-categories iframe').evaluate((frame) => frame.remove());
    await orderButton(page).click();
    await said(page, 'trouble');
    await at(page, 'ready');
    await complains(page, language, 'trouble', 'ready');
    is(await page.locator('#payway-categories iframe').count(), 1, `${language}: trouble: the widget that was gone is back`);
    await orderButton(page).click();
    await choose(page, 'Decline');
    await complains(page, language, 'refused', 'over');
    await offersShop(page, language, 'refused');
    is(await page.locator('#payway-categories iframe').isVisible(), false, `${language}: refused: the widget is put away`);

    await act(page, 'load_show_form_false');
    await page.goto(url);
    await complains(page, language, 'absent', 'over');
    await offersShop(page, language, 'absent');
    await act(page, 'load_error_fields');
    await page.goto(url);
    await said(page, 'fixable');
    is(await orderButton(page).isEnabled(), true, `${language}: details that are wrong from the start: said, and the order is open`);
    await act(page, 'throw_on_load');
    await page.goto(url);
    await said(page, 'absent');
    await page.unroute(SDK);

    await page.route(SDK, (route) => route.abort());
    await page.goto(url);
    await complains(page, language, 'blocked', 'stuck');
    await offersShop(page, language, 'blocked');
    await page.unroute(SDK);
    await messages(page).getByRole('link', { name: w.reload }).click();
    await at(page, 'ready');
    ok(true, `${language}: blocked: a reload without the blocker, and all is well`);

    for (const notice of ['not_sent', 'unavailable']) {
        await page.goto(`${url}&notice=${notice}`);
        await at(page, 'ready');
        like(await page.locator('[data-notice]').innerText(), w[notice], `${language}: ${notice}: says so`);
        is(await page.evaluate(() => document.activeElement.dataset.notice), notice, `${language}: ${notice}: the focus is there`);
        await lookAtAll(page, `buy-${notice}-${language}`, { axe: language === 'sv' });
    }

    // -- other browsers
    const bare = await beside(page, open, { width: 360, locale: locale[language], javaScriptEnabled: false });
    await bare.goto(url);
    like(await bare.locator('noscript').innerText(), w.script, `${language}: without script: says so`);
    like(await bare.locator('noscript a').getAttribute('href'), /\/v2\/shop\/example_digital\?/, `${language}: without script: and where to go`);
    is(await orderButton(bare).isDisabled(), true, `${language}: without script: nothing to press in vain`);
    await lookAtAll(bare, `buy-no-script-${language}`, { axe: false });
    await bare.context().close();
    const app = await beside(page, open, { width: 360, locale: locale[language], userAgent: 'Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 Instagram 300.0' });
    await app.goto(url);
    await at(app, 'ready');
    like(await app.locator('#payway-in-app').innerText(), w.app, `${language}: in an app's browser: which one is better`);
    await lookAtAll(app, `buy-in-app-${language}`, { axe: language === 'sv' });
    await app.context().close();
    is(await page.locator('#payway-in-app').isVisible(), false, `${language}: and nothing of that elsewhere`);

    // A token that the script does not take: a new session helps, and nothing else. "interactive" comes before our script.
    const broken = await beside(page, open, { width: 360, locale: locale[language] });
    await broken.addInitScript(() => document.addEventListener('readystatechange', () => {
        const purchase = document.getElementById('payway-purchase');
        if (purchase && document.readyState === 'interactive') purchase.dataset.clientToken = 'broken';
    }));
    await broken.goto(url);
    await said(broken, 'expired');
    is((await stubCalls(broken)).map((call) => call.threw).join(), 'InvalidClientTokenError', `${language}: a broken token: the page says to start again`);
    await broken.context().close();

    await slowly(open, page, url, language);

    // -- after all of this
    await page.goto(url);
    await at(page, 'ready');
    is(await books(who), 'sessions 1, orders 0, charges 0', `${language}: so far one session, and nothing ordered`);
    await order(page);
    await page.waitForURL(CONFIRMATION);
    is(await books(who), BOUGHT_ONCE, `${language}: then it is bought`);
    is(page.troubles.join('\n'), '', `${language}: no script error, nothing blocked`);
    await page.context().close();
}

// What takes long, in a browser whose clock we set.
async function slowly(open, before, url, language) {
    const w = words[language];
    const page = await beside(before, open, { width: 360, locale: locale[language] });
    await page.clock.install();
    const pass = (seconds) => page.clock.fastForward(seconds * 1000);
    const statusText = () => page.locator('#payway-status').innerText();

    // The script comes when nobody expected it any more.
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    await page.route(SDK, async (route) => {
        await held;
        await route.continue();
    });
    await page.goto(url, { waitUntil: 'commit' });
    await at(page, 'sdk-loading');
    await status(page, 'loading');
    await pass(11);
    await status(page, 'slow');
    like(await statusText(), w.slow, `${language}: ten seconds without the script: it takes long`);
    await lookAtAll(page, `buy-slow-${language}`, { axe: false });
    await pass(20);
    await said(page, 'blocked');
    is(await page.getAttribute('#payway-purchase', 'data-state'), 'stuck', `${language}: half a minute: blocked`);
    release();
    await at(page, 'ready');
    is(await messages(page).innerText(), '', `${language}: it comes after all: the page goes on, and the message is gone`);
    await page.unroute(SDK);

    await act(page, 'load_never_calls_back');
    await page.goto(url);
    await at(page, 'loading');
    await pass(11);
    await status(page, 'slow');
    await pass(20);
    await complains(page, language, 'late', 'stuck');
    await offersShop(page, language, 'late');

    await act(page, 'never_calls_back');
    await page.goto(url);
    await at(page, 'ready');
    await orderButton(page).click();
    await at(page, 'authorizing');
    await pass(44);
    await status(page, 'authorizing');
    await pass(2);
    await status(page, 'waiting');
    like(await statusText(), w.waiting, `${language}: no answer to authorize: where to look`);
    is(await orderButton(page).isDisabled(), true, `${language}: and the page stays locked: an approval may still come`);
    await lookAtAll(page, `buy-waiting-${language}`, { axe: language === 'sv' });
    await pass(3600);
    is(await page.getAttribute('#payway-purchase', 'data-state'), 'authorizing', `${language}: for as long as it takes`);
    await act(page, null);
    await page.locator('#payway-status').getByRole('link', { name: w.reload }).click();
    await at(page, 'ready');

    const seconds = Number(await page.getAttribute('#payway-purchase', 'data-expires'));
    await pass(seconds - 60);
    is(await page.getAttribute('#payway-purchase', 'data-state'), 'ready', `${language}: a minute before the session ends all is well`);
    await pass(61);
    await complains(page, language, 'expired', 'over');
    await messages(page).getByRole('link', { name: w.restart }).click();
    await page.waitForURL(/\/payway\/offers\?.*o=digital/);
    is(await offerButton(page, 'digital').count(), 1, `${language}: expired: starting again leads to the offer`);
    is(page.troubles.join('\n'), '', `${language}: slowly: no script error`);
    await page.context().close();
}

// Several ways to pay: what is refused goes, and another one buys.
async function several(open, language) {
    const who = await newReader();
    const page = await open({ width: 360, locale: locale[language] });
    await note(page);
    await shape({ session_categories: 'list' });
    const url = `${await toPurchase(page, who)}?lang=${language}`;
    await shape({ session_categories: 'none' });
    await page.goto(url);
    await at(page, 'ready');
    await orderButton(page).click();
    await klarna(page).waitFor();
    is(await page.locator('#payway-categories').evaluate((fields) => fields.disabled), true, `${language}: several: locked while Klarna asks`);
    await choose(page, 'Decline');
    await complains(page, language, 'refused-other', 'choosing');
    is(await page.getByRole('radio').count(), 2, `${language}: several: the refused one is gone`);
    is(await page.getByRole('radio', { checked: true }).count(), 0, `${language}: several: the reader chooses, not we`);
    await page.getByRole('radio').last().check();
    await at(page, 'ready');
    is(await messages(page).innerText(), '', `${language}: several: another is chosen, and the message is gone`);
    await order(page);
    await page.waitForURL(CONFIRMATION);
    const pairs = (await posted(page)).calls.filter((call) => /load|authorize/.test(call.method));
    is(pairs.map((call) => `${call.method} ${call.options.payment_method_category}`).join(', '),
        'load pay_now, authorize pay_now, load pay_later, authorize pay_later', `${language}: several: it buys by the other`);
    is(await books(who), BOUGHT_ONCE, `${language}: several: once`);
    await page.context().close();
}

// … and none of them is offered.
async function noneOfSeveral(open, language) {
    const page = await open({ width: 360, locale: locale[language] });
    await shape({ session_categories: 'list', klarna_scenario: 'load_show_form_false' });
    const url = `${await toPurchase(page, await newReader(), { state: 'choosing' })}?lang=${language}`;
    await shape({ session_categories: 'none', klarna_scenario: 'approve' });
    await page.goto(url);
    await complains(page, language, 'absent-other', 'choosing');
    for (const left of [1, 0]) {
        await page.getByRole('radio').first().click();
        await page.waitForFunction((n) => document.querySelectorAll('.payway-category:not([hidden])').length === n, left);
    }
    await said(page, 'absent');
    is(await page.getAttribute('#payway-purchase', 'data-state'), 'over', `${language}: none of several: the page says where else to pay`);
    await offersShop(page, language, 'none of several');
    await page.context().close();
}

main(async (open) => {
    for (const language of ['sv', 'en']) {
        await alone(open, language);
        await several(open, language);
        await noneOfSeveral(open, language);
    }
});
