#!/usr/bin/perl

# Logging in: identify and landing, bound to the browser that asked; the portal and our own form; logging out; and what a
# reader is told when Payway cannot be asked. Nobody is let in by what could not be found out, and nobody runs in a circle.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA  qw(hmac_sha256);
use JSON::PP     ();
use MIME::Base64 qw(encode_base64url);
use PWK::Test;

my $FORM_PORT = PWK::Server::free_port();
my ($sim, $server, $client) = paywall(
    log_level  => 'warn payway_klarna:trace8',
    directives => "ServerAlias other.example.se\n",
);
my $url     = $server->url;
my $secret  = PWK::Server::slurp($server->path('secrets/client'));
my $article = '/premium/a.html?x=1&y=%C3%A5';

sub browser (%option) { return PWK::Client->new(base => $url, %option) }
sub calls (%filter) { return scalar(my @seen = $sim->requests(%filter)) }
sub jwt ($claims, $key = $secret, $header = {typ => 'JWT', alg => 'HS256'}) {
    my $text = join '.', map { encode_base64url(JSON::PP->new->canonical->encode($_)) } $header, $claims;
    return "$text." . encode_base64url(hmac_sha256($text, $key));
}
sub claims (%more) {
    my $now = time;
    return {cid => $PWK::Test::CLIENT, aud => 'pw-sso', iss => 'pw-sso', sid => 'forged-session', sts => 'anon', iat => $now, nbf => $now, exp => $now + 60, %more};
}

subtest 'a page view is identified once, and comes back to its article' => sub {
    my $browser = browser();
    my $answer  = $browser->navigate($article);
    is $answer->status, 302, 'a redirect';
    like $answer->location, qr{\A\Q@{[$sim->sso]}\E/identify\?t=[\w.-]+&r=http%3A%2F%2F}, 'to SSO2, with r encoded';
    is $answer->header('Cache-Control'), 'no-store', 'that nobody keeps';
    $answer = $browser->follow($answer);
    is $answer->url,    $url . $article, 'back at the article, path and query as they were';
    is $answer->status, 402, 'which is a wall';
    my ($landing) = grep { $_->url =~ m{/payway/landing} } $answer->history;
    my %cookie = map { ($_->{name} => $_) } $landing->cookies;
    is $cookie{payway}{attributes}{samesite}, 'Lax', 'the cookie: SameSite';
    ok exists $cookie{payway}{attributes}{httponly}, 'HttpOnly';
    is $cookie{payway}{attributes}{path}, '/', 'for the whole site';
    is $cookie{'payway-login'}{attributes}{'max-age'}, '0', 'and the login cookie is gone';
    $sim->clear_requests;
    is $browser->navigate($article)->status, 402, 'the next view is not sent anywhere';
    is calls(), 0, 'and asks nobody';
};

subtest 'nothing but a page view is sent anywhere' => sub {
    my %html = (Accept => 'text/html');
    for my $case (
        ['curl',       'GET',     Accept => '*/*'],
        ['JSON',       'GET',     Accept => 'application/json'],
        ['XHR',        'GET',     %html, 'X-Requested-With' => 'XMLHttpRequest'],
        ['fetch',      'GET',     %html, 'Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Dest' => 'empty'],
        ['image',      'GET',     Accept => 'image/avif,*/*', 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => 'image'],
        ['frame',      'GET',     %html, 'Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-Dest' => 'iframe'],
        ['prefetch',   'GET',     %html, 'Sec-Purpose' => 'prefetch'],
        ['old prefetch', 'GET',   %html, Purpose => 'prefetch'],
        ['POST',       'POST',    %html],
        ['HEAD',       'HEAD',    %html],
        ['Googlebot',  'GET',     %html, 'User-Agent' => 'Mozilla/5.0 (compatible; Googlebot/2.1)'],
        ['Facebook',   'GET',     %html, 'User-Agent' => 'facebookexternalhit/1.1'],
    ) {
        my ($name, $method, @headers) = @$case;
        is browser()->request($method => '/premium/a.html', headers => \@headers)->status, 402, "$name: the wall";
    }
    is browser()->navigate('/index.html')->status, 200, 'a free page is nobody\'s business';
};

subtest 'a browser without cookies gets no loop' => sub {
    for my $place ('/premium/a.html', '/premium/a.html?tag=1&tag=2&%E5') {
        my $browser = browser(cookies => 0);
        my $answer  = $browser->follow($browser->navigate($place));
        is $answer->status, 402, "$place: the wall";
        like $answer->body, qr/data-notice="cookies"/, 'which says why';
        cmp_ok scalar(my @hops = $answer->history), '<=', 5, 'after a few hops';
    }
};

subtest 'other names of the host lead to the one that counts' => sub {
    my $browser = browser();
    my $answer  = $browser->request(GET => '/premium/a.html?q=1', host => 'other.example.se', headers => [Accept => 'text/html']);
    is $answer->status, 302, 'a redirect';
    is $answer->header('Location'), "$url/premium/a.html?q=1", 'to the base URL';
    is $browser->request(GET => '/payway/login?r=%2Fx', host => 'other.example.se')->header('Location'), "$url/payway/login?r=%2Fx", 'our own URLs too';
};

subtest 'a landing that this browser did not ask for is dropped' => sub {
    my $browser = browser();
    my $answer  = $browser->navigate('/payway/landing?t=' . jwt(claims()) . '&r=' . PWK::Client::escape("$url/payway/landing?s=x"));
    is $answer->status, 302, 'one login of its own is begun';
    like $answer->location, qr{/identify\?}, 'at SSO2';
    is $browser->cookie('payway'), undef, 'and nobody was logged in by the stranger\'s token';

    my $victim   = browser();
    my $attacker = browser();
    my $bait     = $attacker->navigate($attacker->navigate('/premium/a.html')->location)->location;    # the landing of the attacker's browser
    my $bitten   = $victim->navigate($bait);
    like $bitten->location, qr{/identify\?}, 'a landing made for another browser: dropped as well';
    is $victim->cookie('payway'), undef, 'nobody logged in';
};

subtest 'forged tokens let nobody in' => sub {
    my %forged = (
        'another key'      => jwt(claims(), 'x' x 43),
        'alg none'         => jwt(claims(), $secret, {typ => 'JWT', alg => 'none'}),
        'alg HS384'        => jwt(claims(), $secret, {typ => 'JWT', alg => 'HS384'}),
        'another client'   => jwt(claims(cid => 'somebody')),
        'another audience' => jwt(claims(aud => 'elsewhere')),
        'expired'          => jwt(claims(iat => time - 900, nbf => time - 900, exp => time - 600)),
        'from the future'  => jwt(claims(iat => time + 900, nbf => time + 900, exp => time + 960)),
        'without an end'   => jwt({%{claims()}, exp => undef}),
        'not a token'      => 'a.b.c',
        'nothing'          => '',
    );
    $server->expect_log(qr/PWK0092: a landing was refused/);
    for my $name (sort keys %forged) {
        my $browser = browser();
        my $start   = $browser->navigate('/premium/a.html');
        my ($r)     = $start->location =~ /&r=([^&]+)/;
        my $answer  = $browser->navigate("/payway/landing?t=$forged{$name}&r=$r");
        is $browser->cookie('payway'), undef, "$name: no reader";
        like $answer->location, qr{/identify\?}, "$name: tried once more";
        my ($again) = $answer->location =~ /&r=([^&]+)/;
        is $browser->navigate("/payway/landing?t=$forged{$name}&r=$again")->status, 400, "$name: and then a page";
    }
    my $browser = browser();
    my ($own, $r) = $browser->navigate('/premium/a.html')->location =~ /\?t=([^&]+)&r=([^&]+)/;
    $browser->navigate("/payway/landing?t=$own&r=$r");
    is $browser->cookie('payway'), undef, 'our own identify token sent back is none either';
};

subtest 'the way back leads nowhere else' => sub {
    for my $r ('//evil.example', '/\\evil.example', 'https://evil.example/', '/%09/evil.example', '/x/..//evil.example', "/a\r\nX: y", '') {
        my $browser = browser();
        log_in($browser, 'subscriber', '/payway/login?r=' . PWK::Client::escape($r));
        my $answer = $browser->navigate('/payway/login?r=' . PWK::Client::escape($r));
        like $answer->location, qr{\A\Q$url\E/}, 'r=' . PWK::Client::escape($r) . ': this site';
        unlike $answer->location, qr{evil\.example\z}, 'and not the place named' if $r =~ m{\A//};
    }
};

subtest 'the portal: logs in, reads, logs out' => sub {
    my $browser = browser();
    my $answer  = log_in($browser);
    is $answer->url, "$url/premium/a.html", 'at the article';
    like $answer->body, qr/SENTINEL-A/, 'and reads';
    $sim->clear_requests;
    like $browser->get('/premium/a.html')->body, qr/SENTINEL-A/, 'again';
    is calls(), 0, 'without a call to Payway';
    my $me = $browser->get('/payway/me')->json;
    is $me->{state}, 'loggedin', 'me: who';
    is_deeply $me->{products}, ['example_web'], 'and what';

    my $stolen = $browser->twin;
    is $browser->get('/payway/logout')->status, 200, 'GET logout shows a button';
    is $browser->get('/payway/me')->json->{state}, 'loggedin', 'and logs nobody out';
    is $browser->post_form('/payway/logout', {csrf => 'x', r => '/'})->status, 403, 'nor does a wrong token';
    is $browser->post_form('/payway/logout', {csrf => $me->{csrf}}, 'Sec-Fetch-Site' => 'cross-site')->status, 403, 'nor another site';
    my $out = $browser->follow($browser->post_form('/payway/logout', {csrf => $me->{csrf}, r => '/premium/a.html'}));
    like $out->body, qr/<h1/, 'the button does';
    is $browser->cookie('payway'), undef, 'the cookie is gone';
    is calls(role => 'sso', operation => 'logout'), 1, 'SSO2 was told, once';
    is $browser->get('/premium/a.html')->status, 402, 'and the wall stands';
};

subtest 'cookies that are not ours, or not this site\'s' => sub {
    my $browser = browser();
    log_in($browser);
    my $cookie = $browser->cookie('payway');
    my $status = sub ($header) { return browser(cookies => 0)->get('/premium/a.html', Cookie => $header)->status };
    is $status->("payway=$cookie"), 200, 'the cookie itself';
    is $status->('payway=' . ($cookie =~ s/(.{40})(.)/$1 . ($2 eq 'A' ? 'B' : 'A')/er)), 402, 'with one character changed';
    is $status->("payway=$cookie; payway=$cookie"), 402, 'twice';
    is $status->('payway=' . substr $cookie, 0, -8), 402, 'cut';
    is $status->("payway-login=$cookie"), 402, 'under another name';
    is $status->("a=b; ; ;x; payway=$cookie; =y"), 200, 'among odd ones';
};

subtest 'Payway away: nobody in, and the truth' => sub {
    $server->expect_log(qr/PWK0030: Payway could not be asked/);
    $server->allow_log(qr/PWK00(?:31|32|90|92|93)/);
    for my $case (
        ['SSO2 says 503',       {role => 'sso', path => '/sessionstatus', kind => 'status', status => 503}],
        ['SSO2 says HTML',      {role => 'sso', path => '/sessionstatus', kind => 'html'}],
        ['the API says 500',    {role => 'api', path => '/api/authorization', kind => 'status', status => 500}],
        ['the API says HTML',   {role => 'api', path => '/external/api/v1/me', kind => 'html'}],
        ['broken JSON',         {role => 'api', path => '/external/api/v1/me/active_products', kind => 'broken_json'}],
        ['a wrong type',        {role => 'api', path => '/external/api/v1/me/active_products', kind => 'wrong_type'}],
        ['too much',            {role => 'api', path => '/external/api/v1/me', kind => 'oversize'}],
        ['cut off',             {role => 'api', path => '/external/api/v1/me', kind => 'cut_body'}],
    ) {
        my ($name, $fault) = @$case;
        my $browser = browser();
        $browser->follow($browser->navigate('/premium/a.html'));
        $sim->fault(%$fault);
        my $answer = log_in($browser);
        cmp_ok $answer->status, '>=', 500, "$name: a page that says so (" . $answer->status . ')';
        unlike $answer->body, qr/SENTINEL/, "$name: nothing of the article";
        is $browser->get('/payway/me')->json->{state}, 'anonymous', "$name: nobody is logged in";
        $sim->clear_faults;
    }
    my $reader = browser();
    is log_in($reader)->status, 200, 'and when Payway is back, so is the reader';
};

subtest 'a missing scope is named' => sub {
    $server->expect_log(qr{PWK0032: .*needs the scope /external/me/w .*API user \Q$PWK::Test::CLIENT\E});
    $sim->client($PWK::Test::CLIENT, {scopes => [grep { $_ ne '/external/me/w' } @PWK::Test::SCOPES]});
    my $browser = browser();
    isnt log_in($browser)->status, 200, 'nobody in';
    $sim->client($PWK::Test::CLIENT, {scopes => [@PWK::Test::SCOPES]});
};

subtest 'answers in every shape that the API may have' => sub {
    for my $shape ({claims => 'minimal'}, {claims => 'full'}, {envelope => 'flat'}, {extra_fields => JSON::PP::true()}, {ticket => 'always'},
        {sid => 'rotate'}, {expires_in => 'string'}, {expires_in => 'absent'}, {me_fields => 'minimal'}, {me_fields => 'null'}, {absent_claims => 'empty'},
        {answer_aud => 'pw-sso'}, {answer_iss => 'example'}) {
        my ($name, $value) = %$shape;
        $sim->shape(%$shape);
        my $browser = browser();
        like log_in($browser)->body, qr/SENTINEL-A/, "$name $value: reads";
        $sim->reset;
    }
    for my $value (qw(null absent)) {
        $sim->shape(active_products => $value);
        my $browser = browser();
        cmp_ok log_in($browser, 'empty')->status, '>=', 500, "products $value: could not find out, which is not `none'";
        $sim->reset;
    }
};

subtest 'PaywayIdentify' => sub {
    my ($vhost) = @{$server->{vhosts}};
    my $greets = "<Location /index.html>\nPaywayReader On\n</Location>\n";
    for my $case ([on => 302, 302], [wall => 302, 200], [off => 402, 200]) {
        my ($value, @want) = @$case;
        $server->vhosts({%$vhost, config => "$vhost->{config}\nPaywayIdentify $value\n$greets"});
        $server->graceful;
        is_deeply [map { browser()->navigate($_)->status } '/premium/a.html', '/index.html'], \@want, "$value: at the wall, on a free page with PaywayReader";
        my $answer = browser(cookies => 0);
        is $answer->follow($answer->navigate('/index.html'))->status, 200, "$value: without cookies the free page is read all the same";
    }
    $server->vhosts($vhost);
    $server->graceful;
};

subtest 'tokens and tickets stand in no log' => sub {
    my $log = join "\n", $server->error_log, $server->access_log;
    unlike $log, qr/[?&]t=ey/, 'no token of a landing';
    unlike $log, qr/eyJ[\w-]+\.eyJ/, 'no JWT at all';
    ok index($log, $secret) < 0, 'not the secret';
    ok index($log, $PWK::Test::ACCOUNT{subscriber}{password}) < 0, 'no password';
    like $log, qr{"GET /payway/landing HTTP/1.1" 303}, 'the landing itself does';
};

$sim->stop;
done_testing;
