// What the browser tests share: Debian's Chromium by playwright-core, TAP on stdout, screenshots to look at, and a watch
// on what a reader must never meet: script errors, blocked content, sideways scrolling, findings of axe-core.
//
// A test is started by the .t file of its name, which starts the simulator and httpd and hands over, in the environment,
// PWK_SITE (JSON: url, and whatever the test needs) and PWK_SCREENSHOTS (a directory).
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { chromium } = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const site = JSON.parse(process.env.PWK_SITE);
const shots = process.env.PWK_SCREENSHOTS;
let count = 0;
let failed = 0;

function ok(pass, name, detail) {
    count += 1;
    console.log(`${pass ? 'ok' : 'not ok'} ${count} - ${name.replace(/#/g, '\\#')}`);
    if (!pass) {
        failed += 1;
        if (detail !== undefined) console.log(String(detail).replace(/^/gm, '# '));
    }
    return pass;
}
const is = (got, want, name) => ok(got === want, name, `got:  ${JSON.stringify(got)}\nwant: ${JSON.stringify(want)}`);
const like = (got, want, name) => ok(want.test(String(got)), name, `got: ${JSON.stringify(got)}\nnot like ${want}`);

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

// A page in a profile whose settings block every cookie: the one way in which Chromium takes none from redirects either.
async function openWithoutCookies(test) {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'pwk-profile-'));
    fs.mkdirSync(path.join(profile, 'Default'));
    fs.writeFileSync(path.join(profile, 'Default', 'Preferences'),
        JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }));
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: process.env.PWK_CHROMIUM || '/usr/bin/chromium', args: FLAGS, viewport: { width: 360, height: 740 }, locale: 'sv-SE',
    });
    try {
        const page = await context.newPage();
        page.troubles = [];
        await test(page);
    } finally {
        await context.close();
        fs.rmSync(profile, { recursive: true, force: true });
    }
}

// Collects what a reader must never meet in page.troubles.
function watch(page) {
    page.setDefaultTimeout(20000);
    page.troubles = [];
    page.on('pageerror', (error) => page.troubles.push(`script: ${error.message}`));
    // A status is no trouble: walls are 402. What the policy blocks is.
    page.on('console', (line) => { if (/Content Security Policy|Refused to/.test(line.text())) page.troubles.push(line.text()); });
    return page;
}

// Runs `test(open)` and closes the browser whatever happens. `open(options)` gives a page in a profile of its own;
// options are playwright's, and `width`.
async function main(test) {
    fs.mkdirSync(shots, { recursive: true });
    const browser = await chromium.launch({ executablePath: process.env.PWK_CHROMIUM || '/usr/bin/chromium', args: FLAGS });
    const open = async ({ width = 1280, ...options } = {}) => {
        const context = await browser.newContext({ viewport: { width, height: width < 600 ? 740 : 900 }, locale: 'sv-SE', ...options });
        return watch(await context.newPage());
    };
    let died;
    try {
        await test(open);
    } catch (error) {
        died = error;
    }
    await browser.close();
    if (died) ok(false, 'the test ran to its end', died.stack);
    console.log(`1..${count}`);
    process.exitCode = failed ? 1 : 0;
}

// Chromium fails to take a picture now and then, for reasons of its own. A frame below the window's edge it does not draw at all:
// the window is made as high as the page.
async function shoot(page, name, fullPage = true, more = {}) {
    const options = { path: path.join(shots, `${name}.png`), fullPage, ...more };
    const before = page.viewportSize();
    const frames = fullPage ? page.frames().slice(1) : [];
    if (frames.length) {
        await page.setViewportSize({ ...before, height: await page.evaluate(() => document.documentElement.scrollHeight) });
        await Promise.all(frames.map((frame) => frame.evaluate(() => new Promise((resolve) => {
            setTimeout(resolve, 300); // one that is hidden is never drawn
            requestAnimationFrame(() => requestAnimationFrame(resolve));
        }))));
    }
    await page.screenshot(options).catch(() => page.screenshot(options));
    if (frames.length) await page.setViewportSize(before);
}

// A picture of docs/guide.md: the window of a phone, one of our pages to the end of what it has to say ('main'), or a part of it.
async function picture(page, name, part = 'main') {
    fs.mkdirSync(path.join(shots, 'guide'), { recursive: true });
    if (part === 'window') return shoot(page, `guide/${name}`, false);
    const box = await page.locator(part).evaluate((element) => {
        const { left, top, right, bottom } = element.getBoundingClientRect();
        return { x: left + scrollX, y: top + scrollY, width: right - left, height: bottom - top };
    });
    const clip = part === 'main' ? { x: 0, y: 0, width: page.viewportSize().width, height: box.y + box.height + 16 } : box;
    return shoot(page, `guide/${name}`, true, { clip });
}
const sideways = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function checkByAxe(page, name) {
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }));
    is(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(' ')}`).join('\n'), '', `${name}: WCAG 2.1 AA by axe-core`);
}

// What holds on each of our pages; takes a screenshot named after it.
async function look(page, name) {
    await shoot(page, name);
    is(await sideways(page), 0, `${name}: nothing to scroll sideways`);
    await checkByAxe(page, name);
    is(page.troubles.join('\n'), '', `${name}: no script error, nothing blocked`);
}

// The same on a phone and on a desk, and down to the narrowest width that we promise. axe: false leaves axe-core out, dark:
// true looks at the dark colours as well.
async function lookAtAll(page, name, { axe: accessible = true, dark = false } = {}) {
    const before = page.viewportSize();
    const wide = [];
    for (const width of [280, 1280, 360]) {
        await page.setViewportSize({ width, height: width < 600 ? 740 : 900 });
        const by = await sideways(page);
        if (by) wide.push(`${by} px at ${width}`);
        if (width > 280) await shoot(page, `${name}-${width}`);
    }
    is(wide.join(', '), '', `${name}: nothing to scroll sideways from 280 px on`);
    if (accessible) await checkByAxe(page, name);
    if (dark) {
        await page.emulateMedia({ colorScheme: 'dark' });
        await page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished)));
        await shoot(page, `${name}-dark-360`);
        await checkByAxe(page, `${name} in the dark`);
        await page.emulateMedia({ colorScheme: null });
    }
    await page.setViewportSize(before);
    is(page.troubles.join('\n'), '', `${name}: no script error, nothing blocked`);
}

// Presses Tab until the focused element's text is like `want`; fails after 60 presses. The keyboard's way to a link.
async function tabTo(page, want) {
    for (let i = 0; i < 60; i += 1) {
        await page.keyboard.press('Tab');
        const text = await page.evaluate(() => {
            const at = document.activeElement;
            return at ? (at.innerText || at.getAttribute('aria-label') || at.name || '').trim() : '';
        });
        if (want.test(text)) return true;
    }
    return false;
}

// The form of Payway's portal.
async function portalLogin(page, who) {
    await page.getByLabel('E-mail').fill(who.email);
    await page.getByLabel('Password').fill(who.password);
    await page.getByRole('button', { name: 'Log in' }).click();
}

module.exports = { site, shots, ok, is, like, main, look, lookAtAll, openWithoutCookies, picture, portalLogin, shoot, tabTo, watch };
