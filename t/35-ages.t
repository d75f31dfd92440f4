#!/usr/bin/perl

# How long what is believed: a fresh record asks nobody, a stale one is renewed beside the request, an old one before the
# answer. What ends, ends within the bounds; what was just bought reads at once; an outage is never taken for a no.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use Time::HiRes qw(sleep time);
use PWK::Test;

my $INTERVAL = 2;    # seconds: stale after this, old after three times this
my ($sim, $server) = paywall(directives => <<~"MORE");
    PaywayRefreshInterval ${INTERVAL}s
    PaywayStaleIfError 3s
    PaywayTimeout 2s 1s
    <Location /long>
        AuthType Payway
        Require payway-product example_web
        PaywayRefreshInterval 1h
        PaywayStaleIfError 1h
    </Location>
    MORE
$server->file('docroot/long/a.html', "SENTINEL-LONG\n");
my $subscriber = $PWK::Test::ACCOUNT{subscriber}{id};
my $empty      = $PWK::Test::ACCOUNT{empty}{id};

sub browser () { return PWK::Client->new(base => $server->url) }
sub calls (%filter) { return scalar(my @seen = $sim->requests(%filter)) }
sub reads ($browser, $path = '/premium/a.html') { return $browser->get($path)->status }

# Waits for a condition, not for a time.
sub until_ok ($condition, $name, $seconds = 15) {
    my $end = time + $seconds;
    until ($condition->()) {
        return fail $name if time > $end;
        sleep 0.05;
    }
    return pass $name;
}

subtest 'fresh: the cookie alone' => sub {
    my $browser = browser();
    log_in($browser);
    $sim->clear_requests;
    my $answer = $browser->get('/long/a.html');
    is $answer->status, 200, 'reads';
    is scalar(my @none = $answer->cookies), 0, 'no cookie is set';
    is calls(), 0, 'nobody is asked';
};

subtest 'stale: granted at once, renewed beside, once' => sub {
    my $browser = browser();
    log_in($browser);
    sleep $INTERVAL + 0.5;
    $sim->clear_requests;
    $sim->fault(role => 'sso', path => '/sessionstatus', kind => 'delay', seconds => 1, times => 1);
    is reads($browser), 200, 'reads, while Payway is slow' for 1 .. 4;
    until_ok(sub { calls(role => 'api', path => '/external/api/v1/accounts/active_products') > 0 }, 'products are asked for beside');
    is calls(role => 'sso', operation => 'sessionstatus'), 1, 'the session once, for all of them';
    my $before = $browser->cookie('payway');
    until_ok(sub { reads($browser) == 200 && $browser->cookie('payway') ne $before }, 'and a later response carries the new record');
    $sim->clear_faults;
};

subtest 'cancelled: out within the bounds' => sub {
    my $browser = browser();
    log_in($browser);
    my $replayed = $browser->twin;
    $sim->account($subscriber, {products => []});
    until_ok(sub { reads($browser) == 402 }, 'a reader who reads on', 3 * $INTERVAL + 5);
    until_ok(sub { reads($replayed->twin) == 402 }, 'the old cookie, sent again as it was', 3 * $INTERVAL + 5);
    $sim->account($subscriber, {products => ['example_web']});
};

subtest 'bought elsewhere: reads at the next look' => sub {
    my $browser = browser();
    log_in($browser, 'empty', '/payway/login?r=%2Findex.html');
    is reads($browser), 402, 'the wall';
    $sim->account($empty, {products => ['example_web']});
    until_ok(sub { reads($browser) == 200 }, 'reads', 15);
    $sim->account($empty, {products => []});
};

subtest 'a session that ended elsewhere' => sub {
    my $browser = browser();
    log_in($browser);
    $sim->logout_account($subscriber);
    until_ok(sub { $browser->get('/premium/a.html')->status == 402 && $browser->get('/payway/me')->json->{state} eq 'anonymous' }, 'ends here', 3 * $INTERVAL + 5);
};

subtest 'an outage' => sub {
    $server->expect_log(qr/PWK0030: Payway could not be asked/);
    my ($browser, $without) = (browser(), browser());
    log_in($browser);
    log_in($without, 'empty', '/payway/login?r=%2Findex.html');
    $sim->fault(role => 'sso', kind => 'status', status => 503);
    $sim->fault(role => 'api', kind => 'hang');
    is reads($browser, '/long/a.html'), 200, 'a known subscriber reads on';
    until_ok(sub { $browser->get('/premium/a.html')->status == 402 }, 'until the bound is over', 20);
    my $wall = $browser->get('/premium/a.html');
    like $wall->body, qr/data-verdict="unavailable"/, 'then the wall says that it could not be found out';
    unlike $wall->body, qr{action="[^"]*/buy"}, 'and sells nothing';
    like $wall->header('Retry-After'), qr/\A\d+\z/, 'but says when to try again';
    is $browser->get('/premium/a.html', Accept => 'application/json')->json->{verdict}, 'unavailable', 'programs are told as well';
    my $stranger = browser()->get('/premium/a.html');
    is $stranger->status, 402, 'a stranger meets the wall';
    like $stranger->body, qr/data-verdict="anonymous"/, 'as ever';
    $sim->clear_faults;
    until_ok(sub { reads($browser) == 200 }, 'and when Payway is back, the reader reads', 10);
};

subtest 'restarts lose nobody\'s login, a new key neither' => sub {
    my $browser = browser();
    log_in($browser);
    $server->graceful;
    is reads($browser, '/long/a.html'), 200, 'graceful';
    $server->restart;
    is reads($browser, '/long/a.html'), 200, 'restart';
    $server->secret('new');
    my ($vhost) = @{$server->{vhosts}};
    my $standard = $vhost->{config};
    $server->vhosts({%$vhost, config => $standard =~ s{(PaywayCryptoKey\s+)(file:\@SECRET:key\@)}{$1file:\@SECRET:new\@ $2}r});
    $server->graceful;
    is reads($browser, '/long/a.html'), 200, 'a new key with the old one behind it';
    $server->vhosts({%$vhost, config => $standard =~ s/SECRET:key/SECRET:new/r});
    $server->graceful;
    is reads($browser, '/long/a.html'), 402, 'the new one alone: nobody it knows';
    $server->vhosts($vhost);
};

$sim->stop;
done_testing;
