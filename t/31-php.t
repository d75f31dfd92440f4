#!/usr/bin/perl

# PHP by proxy_fcgi, as WordPress and Drupal run: decided before PHP is asked, and PHP sees who reads.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Test;

my ($fpm) = grep {-x} glob '/usr/sbin/php-fpm*';
plan skip_all => 'no php-fpm' unless defined $fpm;

my $php = '<?php header("Cache-Control: public, max-age=600"); echo "SENTINEL-PHP\n"; foreach ($_SERVER as $k => $v) echo "$k=" . (is_array($v) ? "" : $v) . "\n";';
my ($sim, $server) = paywall(
    modules    => [qw(proxy_fcgi rewrite)],
    directives => <<~'MORE',
        <FilesMatch "\.php$">
            SetHandler "proxy:unix:@RUN@/php.sock|fcgi://localhost/"
        </FilesMatch>
        <Directory @DOCROOT@/premium>
            AllowOverride FileInfo
        </Directory>
        MORE
    start => 0,
);
$server->file('docroot/premium/index.php', $php);
$server->file('docroot/premium/.htaccess', "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . /premium/index.php [L]\n");
my ($user) = PWK::Server::server_user() // (getpwuid $>)[0];
$server->file('conf/fpm.conf', $server->expand(<<~"FPM"));
    [global]
    error_log = \@ROOT\@/logs/fpm
    daemonize = no
    [www]
    user = $user
    listen = \@RUN\@/php.sock
    listen.mode = 0666
    pm = static
    pm.max_children = 2
    FPM
my $pid = fork // die "fork: $!";
if (!$pid) {
    open STDERR, '>', '/dev/null';
    exec $fpm, '--nodaemonize', '--fpm-config', $server->path('conf/fpm.conf');
}
END { if ($pid) { local $?; kill TERM => $pid; waitpid $pid, 0 } }
for (1 .. 200) { last if -S $server->path('run/php.sock'); select undef, undef, undef, 0.05 }
$server->allow_log(qr/PWK0124/);
$server->start;

my ($reader, $stranger) = map { PWK::Client->new(base => $server->url) } 1, 2;
log_in($reader);
for my $path ('/premium/index.php', '/premium/2026/an-article/?p=1') {
    my $got = $reader->get($path, 'Payway-Account' => 'forged');
    is $got->status, 200, "$path: the subscriber reads";
    like $got->body, qr/SENTINEL-PHP/, 'what PHP writes';
    like $got->body, qr/^REMOTE_USER=\Q$PWK::Test::ACCOUNT{subscriber}{id}\E$/m, 'which sees who reads';
    like $got->body, qr/^(?:REDIRECT_)?PAYWAY_VERDICT=granted$/m, 'and why';
    unlike $got->body, qr/forged|HTTP_COOKIE=.*payway=/, 'no forged header, no cookie of ours';
    is_deeply [$got->header('Cache-Control')], ['private, no-cache'], 'and may say public as it likes';
    my $wall = $stranger->get($path);
    is $wall->status, 402, 'a stranger meets the wall';
    unlike $wall->body, qr/SENTINEL/, 'and PHP was not asked';
}

$sim->stop;
done_testing;
