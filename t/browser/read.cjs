// A stranger meets the wall, a subscriber logs in and reads, in both languages, on a phone and on a desk; the keyboard
// alone does; a buyer goes through the shop and reads. PWK_SITE: url, subscriber {email,password}, stranger {…}.
'use strict';
const { site, ok, is, like, main, look, openWithoutCookies, portalLogin, tabTo } = require('./browser.cjs');

const ARTICLE = `${site.url}/premium/flottningen.html`;
const SENTINEL = /SENTINEL-ARTICLE-1/;
const words = {
    sv: { locale: 'sv-SE', wall: /prenumerant/i, login: /Logga in/, price: /129\s?kr/, per: /per månad/, out: /Logga ut/ },
    en: { locale: 'en-GB', wall: /subscri/i, login: /Log in/, price: /SEK\s?129|129\s?kr/, per: /per month|a month/, out: /Log out/ },
};

// From the front page through the wall and the portal to the article.
async function reads(open, language, width) {
    const w = words[language];
    const page = await open({ width, locale: w.locale });
    const name = `${language}-${width}`;
    await page.goto(`${site.url}/`);
    await page.locator('a[href$="/premium/flottningen.html"]').first().click();
    is(page.url(), ARTICLE, `${name}: the wall stands at the article's own address`);
    is(await page.getAttribute('html', 'lang'), language, `${name}: the page says its language`);
    like(await page.locator('h1').innerText(), w.wall, `${name}: the wall's heading`);
    like(await page.locator('main').innerText(), w.price, `${name}: the price that Payway says`);
    like(await page.locator('main').innerText(), w.per, `${name}: and what it is for`);
    ok(!SENTINEL.test(await page.content()), `${name}: nothing of the article`);
    await look(page, `wall-${name}`);

    await page.getByRole('main').getByRole('link', { name: w.login }).first().click();
    await portalLogin(page, site.subscriber);
    is(page.url(), ARTICLE, `${name}: back at the article`);
    like(await page.content(), SENTINEL, `${name}: the subscriber reads`);
    await page.screenshot({ path: `${process.env.PWK_SCREENSHOTS}/article-${name}.png` });

    await page.reload();
    like(await page.content(), SENTINEL, `${name}: and after a reload`);
    await page.goto(`${site.url}/payway/logout?r=%2F`);
    await look(page, `logout-${name}`);
    await page.getByRole('main').getByRole('button', { name: w.out }).click();
    await look(page, `logged-out-${name}`);
    await page.goto(ARTICLE);
    ok(!SENTINEL.test(await page.content()), `${name}: logged out, the wall stands again`);
    await page.goBack();
    await page.goBack();
    ok(!SENTINEL.test(await page.content()), `${name}: and the browser's back button does not bring the article back`);
    await page.context().close();
}

// Tab and Enter from the wall to the article; the first stop skips to the content.
async function keyboard(open) {
    const page = await open({ width: 1280 });
    await page.goto(ARTICLE);
    await page.keyboard.press('Tab');
    like(await page.evaluate(() => document.activeElement.innerText), /Hoppa/, 'keyboard: the first stop is the skip link');
    await page.keyboard.press('Enter');
    ok(await tabTo(page, /Logga in/), 'keyboard: Tab finds the way to log in');
    await page.screenshot({ path: `${process.env.PWK_SCREENSHOTS}/wall-focus.png` });
    await page.keyboard.press('Enter');
    await page.waitForURL(/login/);
    await page.getByLabel('E-mail').focus();
    await page.keyboard.type(site.subscriber.email);
    await page.keyboard.press('Tab');
    await page.keyboard.type(site.subscriber.password);
    await page.keyboard.press('Enter');
    await page.waitForURL(ARTICLE);
    like(await page.content(), SENTINEL, 'keyboard: and reads');
    await page.context().close();
}

// The whole way without a script, at the narrowest width that we promise.
async function noScript(open) {
    const page = await open({ width: 280, javaScriptEnabled: false });
    await page.goto(ARTICLE);
    await page.screenshot({ path: `${process.env.PWK_SCREENSHOTS}/wall-sv-280.png`, fullPage: true });
    await page.getByRole('main').getByRole('link', { name: words.sv.login }).first().click();
    await portalLogin(page, site.subscriber);
    like(await page.content(), SENTINEL, 'without script: the subscriber reads');
    await page.context().close();
}

// Presses the offer's button before logging in, comes back to the offer, buys at the shop, and reads at once.
async function buys(open) {
    const page = await open({ width: 360 });
    await page.goto(ARTICLE);
    await page.locator('form[action$="/buy"] button').first().click();
    await portalLogin(page, site.stranger);
    like(page.url(), /\/payway\/offers\?.*o=digital/, 'buying: logged in, the reader is back at the offer');
    await look(page, 'offers-selected-360');
    await page.locator('form[action$="/buy"] button').first().click();
    like(page.url(), /\/v2\/shop\//, 'buying: the button leads to the shop');
    await page.getByRole('button', { name: /Buy/ }).click();
    is(page.url(), ARTICLE, 'buying: back at the article');
    like(await page.content(), SENTINEL, 'buying: which opens at once');
    is(page.troubles.join('\n'), '', 'buying: no script error, nothing blocked');
    await page.context().close();
}

// A browser that takes no cookies sees a wall that says so, and no loop.
async function noCookies() {
    await openWithoutCookies(async (page) => {
        await page.goto(ARTICLE);
        like(await page.locator('main').innerText(), /kakor/, 'no cookies: the wall says what is wrong');
        await look(page, 'wall-no-cookies-360');
    });
}

main(async (open) => {
    await reads(open, 'sv', 360);
    await reads(open, 'sv', 1280);
    await reads(open, 'en', 360);
    await reads(open, 'en', 1280);
    await keyboard(open);
    await noScript(open);
    await buys(open);
    await noCookies();
});
