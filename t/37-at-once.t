#!/usr/bin/perl

# One reader's requests at once, over several children: everybody gets the same answer, and Payway hears little of it.
# And a browser that was nobody here, and logged in elsewhere.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET ();
use Time::HiRes      qw(sleep time);
use PWK::Test;

my $MANY     = 24;
my $CHILDREN = 3;
my $INTERVAL = 2;    # seconds: stale after this, old after three times this
my ($sim, $server) = paywall(
    config     => ($ENV{PWK_MPM} // '') eq 'prefork' ? '' : "StartServers $CHILDREN\nMinSpareThreads 33\n",
    directives => <<~"MORE",
        PaywayRefreshInterval ${INTERVAL}s
        PaywayStaleIfError 1h
        PaywayTimeout 3s
        <Location /long>
            AuthType Payway
            Require payway-product example_web
            PaywayRefreshInterval 1h
        </Location>
        MORE
);
$server->file('docroot/long/a.html', "SENTINEL-LONG\n");
my $subscriber = $PWK::Test::ACCOUNT{subscriber}{id};

sub browser () { return PWK::Client->new(base => $server->url) }
sub calls (%filter) { return scalar(my @seen = $sim->requests(%filter)) }

# Waits for a condition, not for a time.
sub until_ok ($condition, $name, $seconds = 15) {
    my $end = time + $seconds;
    until ($condition->()) {
        return fail $name if time > $end;
        sleep 0.05;
    }
    return pass $name;
}

# Sends one request on many connections before the first answer is read. Returns the answers.
sub at_once ($browser, $path) {
    my $cookie  = $browser->cookie_header($server->url . '/');
    my @sockets = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port) // die "$@\n" } 1 .. $MANY;
    syswrite $_, "GET $path HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: $cookie\r\nConnection: close\r\n\r\n" for @sockets;
    local $/;
    return map { readline $_ } @sockets;
}

# The statuses among answers, with how often they come.
sub statuses (@answers) {
    my %count;
    $count{m{\AHTTP/1\.1 (\d+)} ? $1 : 'none'}++ for @answers;
    return \%count;
}

subtest 'fresh: every child knows whom another logged in' => sub {
    my $browser = browser();
    log_in($browser);
    $sim->clear_requests;
    my @answers = at_once($browser, '/long/a.html');
    is_deeply statuses(@answers), {200 => $MANY}, 'all read';
    is calls(), 0, 'asking nobody';
    is scalar(grep {/^Set-Cookie:/mi} @answers), 0, 'and no cookie is set';
};

subtest 'stale: all are granted while one asks' => sub {
    my $browser = browser();
    log_in($browser);
    sleep $INTERVAL + 0.2;
    $sim->clear_requests;
    $sim->fault(role => 'sso', path => '/sessionstatus', kind => 'hang');
    $server->expect_log(qr/PWK0030: .*renewing a reader/);
    is_deeply statuses(at_once($browser, '/premium/a.html')), {200 => $MANY}, 'all read, though Payway hangs';
    until_ok(sub { calls(role => 'sso', path => '/sessionstatus') > 0 }, 'it is asked beside');
    is_deeply statuses(at_once($browser, '/premium/a.html')), {200 => $MANY}, 'and again';
    cmp_ok calls(role => 'sso', path => '/sessionstatus'), '<=', $CHILDREN, 'by a child at most once';
    $sim->clear_faults;
    ok $server->wait_for_log(qr/PWK0030/), 'an operator is told';
};

subtest 'old: none is granted before the answer' => sub {
    my $browser = browser();
    log_in($browser);
    $sim->account($subscriber, {products => []});
    sleep 3 * $INTERVAL + 0.2;
    $sim->clear_requests;
    is_deeply statuses(at_once($browser, '/premium/a.html')), {402 => $MANY}, 'cancelled meanwhile: not one reads';
    cmp_ok calls(role => 'sso', path => '/sessionstatus'), '>=', 1, 'since Payway was asked';
    $sim->account($subscriber, {products => ['example_web']});
};

subtest 'at the wall: a crowd of one reader asks once' => sub {
    my $browser = browser();
    log_in($browser, 'empty', '/payway/login?r=%2Findex.html');
    sleep $INTERVAL + 0.2;
    $browser->get('/premium/a.html');
    $sim->clear_requests;
    is_deeply statuses(at_once($browser, '/premium/a.html')), {402 => $MANY}, 'all meet it';
    cmp_ok calls(), '<=', 2 * $CHILDREN, 'and Payway hears of it hardly';
};

subtest 'nobody here, logged in elsewhere' => sub {
    my $browser = browser();
    my %before  = map { ($_->{sid} // $_->{id} => 1) } @{$sim->books->{sessions}};
    is $browser->follow($browser->navigate('/premium/a.html'))->status, 402, 'identified: nobody';
    my ($sid) = grep { !$before{$_} } map { $_->{sid} // $_->{id} } @{$sim->books->{sessions}};
    $sim->session($sid, {status => 'loggedin', account => $subscriber});
    $sim->clear_requests;
    is $browser->get('/premium/a.html')->status, 402, 'a program asks: the wall';
    is calls(), 0, 'and nobody is bothered for it';
    until_ok(sub { $browser->navigate('/premium/a.html')->status == 200 }, 'a page view finds out, and reads', 3 * $INTERVAL + 5);
    is $browser->get('/payway/me')->json->{state}, 'loggedin', 'from then on';
};

$sim->stop;
done_testing;
