#!/usr/bin/perl

# What ./demo starts: answers, shows a wall, lets the account that it prints read, and leaves nothing behind when it is
# told to end.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp  qw(tempdir);
use POSIX       qw(WNOHANG);
use Time::HiRes qw(sleep time);
use PWK::Server;
use PWK::Test;

# Its scratch directories go to one of our own, so that what is left can be counted.
my $tmp = tempdir('pwk-demo-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $tmp;

for my $signal (qw(INT TERM)) {
    my $port = PWK::Server::free_port();
    my $pid  = open my $out, '-|' // die "fork: $!";
    if (!$pid) {
        POSIX::setsid();
        @ENV{qw(PORT TMPDIR)} = ($port, $tmp);
        exec $^X, "$PWK::Server::SRCDIR/t/demo/run";
    }
    my $said = '';
    while (my $line = <$out>) { $said .= $line; last if $line =~ /Ctrl-C/ }
    like $said, qr{http://127\.0\.0\.1:$port/}, "SIG$signal: it says where it is" or diag $said;
    my ($password) = $said =~ /password[^:\n]*:\s*(\S+)/;
    ok $password, 'and the password of its account';

    my $client = PWK::Client->new(base => "http://127.0.0.1:$port");
    my $wall   = $client->get('/premium/koren.html');
    is $wall->status, 402, 'a stranger meets the wall';
    like $wall->body, qr/Norrposten Digital.*149/s, 'with an offer and its price';
    like $wall->body, qr/np-header/, "and the site's own header";
    my $page = PWK::Test::log_in($client, {email => 'prenumerant@example.se', password => $password},
        '/payway/login?r=%2Fpremium%2Fkoren.html');
    is $page->status, 200, 'the subscriber reads';
    like $page->url, qr{/premium/koren\.html\z}, 'the story that was asked for';

    kill $signal => $pid;
    my ($end, $gone) = (time + 30, 0);
    while (time < $end && !($gone = waitpid $pid, WNOHANG)) { sleep 0.05 }
    is $gone, $pid, 'it ends';
    is_deeply [grep {!/pwk-ports/} glob "$tmp/*"], [], 'and leaves no file';
    is join(' ', in_session($pid)), '', 'and no process';
}

# Processes of the session that the demo was, by their numbers. httpd makes a session of its own, so its processes are
# known by their command line.
sub in_session ($session) {
    my @left;
    for my $line (split /\n/, `ps -eo pid=,sess=,stat=,args=`) {
        my ($pid, $sess, $stat, $args) = $line =~ /\A\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)/ or next;
        next if $stat =~ /\AZ/;
        push @left, "$pid $args" if $sess == $session || index($args, $tmp) >= 0;
    }
    return @left;
}

done_testing;
