#!/usr/bin/perl

# mod_cache before everything: what a reader was granted is served to nobody else, the wall to no reader, and our pages to
# nobody twice; in memory and on disk, as quick handler and as filter. Free pages are cached as ever.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Test;

my $BACKEND = PWK::Server::free_port();
my $SHOW    = <<~'CGI';
    #!/usr/bin/perl
    print "Content-Type: text/plain\nCache-Control: public, max-age=600\nExpires: Fri, 01 Jan 2100 00:00:00 GMT\n\n";
    print "SENTINEL $ENV{PAYWAY_VERDICT}$ENV{REDIRECT_PAYWAY_VERDICT}\n";
    CGI
my %files = (
    'docroot/index.html'          => "free\n",
    'docroot/premium/a.html'      => "SENTINEL-A\n",
    'docroot/premium/index.html'  => "SENTINEL-INDEX\n",
    'docroot/premium/page.shtml'  => "SENTINEL-PAGE <!--#include virtual=\"/premium/a.html\" -->\n",
    'docroot/greet/page.shtml'    => "<!--#echo var=\"PAYWAY_VERDICT\" --> <!--#include virtual=\"/premium/a.html\" -->\n",
    'docroot/wp/.htaccess'        => "RewriteEngine On\nRewriteRule . /cgi/show.pl [L]\n",
    'docroot/drawn/x.html'        => "SENTINEL-X\n",
    'docroot/wall.html'           => "the publisher's wall\n",
);
my $DIRECTIVES = <<~"MORE";
    Header set Cache-Control "public, max-age=600"
    Header always set X-Site yes
    ScriptAlias /cgi/ \@ROOT\@/cgi/
    ScriptAlias /premium/cgi/ \@ROOT\@/cgi/
    ProxyPass /premium/backend/ http://127.0.0.1:$BACKEND/
    <Directory \@ROOT\@/cgi>
        Require all granted
        Options +ExecCGI
    </Directory>
    <Directory \@DOCROOT\@>
        Options +Includes
        AddOutputFilter INCLUDES .shtml
    </Directory>
    <Directory \@DOCROOT\@/wp>
        AllowOverride FileInfo
    </Directory>
    <Location /wp/premium>
        AuthType Payway
        Require payway-product example_web
    </Location>
    <Location /greet>
        PaywayReader On
    </Location>
    <Location /drawn>
        AuthType Payway
        Require payway-product example_web
        PaywayWall /wall.html
    </Location>
    MORE
my @PAID = ('/premium/a.html', '/premium/', '/premium/page.shtml', '/premium/cgi/show.pl', '/premium/backend/a.html', '/wp/premium/2026/x', '/drawn/x.html');

my $backend = PWK::Server->new(
    payway => 0, port => $BACKEND, watch => 0, docroot => {'a.html' => "SENTINEL-BACKEND\n"},
    config => qq{Header set Cache-Control "public, max-age=600, s-maxage=900"\nHeader set Surrogate-Control "max-age=900"\n},
)->start;

for my $store (grep { -e "/usr/lib/apache2/modules/mod_cache_$_.so" || -e "/usr/lib64/httpd/modules/mod_cache_$_.so" } qw(socache disk)) {
    my ($sim, $server) = paywall(modules => ['cache', "cache_$store", qw(rewrite proxy_http cgi)], files => \%files, directives => $DIRECTIVES, start => 0);
    $server->file('cgi/show.pl', $SHOW, 0755);
    $server->writable('cache');
    $server->allow_log(qr/PWK0124/, qr/\[include:error\].*subrequest setup returned 402/);
    my $global = $server->{config};
    for my $quick (qw(On Off)) {
        subtest "$store, CacheQuickHandler $quick" => sub {
            $server->config(<<~"CACHE" . $global);
                CacheQuickHandler $quick
                CacheSocache shmcb:\@RUN\@/cache-$quick(1048576)
                CacheEnable $store /
                CacheDefaultExpire 3600
                CacheIgnoreNoLastMod On
                CacheHeader on
                CACHE
            $server->{config} =~ s/^CacheSocache.*/CacheRoot \@ROOT\@\/cache\/$quick/m if $store eq 'disk';
            $server->writable("cache/$quick");
            $server->pid ? $server->restart : $server->start;
            my ($reader, $other, $stranger) = map { PWK::Client->new(base => $server->url) } 1 .. 3;
            my $cached = sub ($answer) { return ($answer->header('X-Cache') // '') =~ /\AHIT/ ? 1 : 0 };

            $stranger->get('/index.html');
            ok $cached->($stranger->get('/index.html')), 'a free page is cached';
            log_in($reader, 'subscriber', '/payway/login?r=%2Findex.html');
            log_in($other,  'other',      '/payway/login?r=%2Findex.html');
            for my $path (@PAID) {
                for my $round (1 .. 2) {
                    like $reader->get($path)->body, qr/SENTINEL/, "$path: the subscriber reads";
                    for my $who ($stranger, $other) {
                        my $answer = $who->get($path);
                        is $answer->status, 402, "$path: who may not meets the wall";
                        unlike $answer->body, qr/SENTINEL/, "$path: without a word";
                        ok !$cached->($answer), "$path: drawn anew";
                    }
                }
                ok !$cached->($reader->get($path)), "$path: for the subscriber too";
            }
            unlike $stranger->get('/premium/a.html', 'Cache-Control' => 'only-if-cached')->body, qr/SENTINEL/, 'nor is it anywhere in the cache';

            like $reader->get('/greet/page.shtml')->body,     qr/granted SENTINEL-A/, 'a free page with its reader\'s part: his';
            unlike $_->get('/greet/page.shtml')->body, qr/SENTINEL/, 'nobody else\'s' for $stranger, $other, PWK::Client->new(base => $server->url);
            like $reader->get('/greet/page.shtml')->body,     qr/granted SENTINEL-A/, 'and his again';

            my %state = map { ($_ => {reader => $reader, other => $other, stranger => $stranger}->{$_}->get('/payway/me')->json) } qw(reader other stranger);
            is_deeply [map { $state{$_}{state} } qw(reader other stranger)], [qw(loggedin loggedin anonymous)], 'me: each his own';
            my ($first, $second) = map { $_->get('/payway/offers')->body =~ /name="csrf" value="([^"]*)"/ ? $1 : '' } $other, $reader;
            isnt $first, $second, 'offers, fragments included: each his own';
            my @begun = map { PWK::Client->new(base => $server->url)->navigate('/premium/a.html') } 1 .. 2;
            is_deeply [map { $_->status } @begun], [302, 302], 'page views of strangers are identified';
            isnt $begun[0]->location, $begun[1]->location, 'each with an address of its own';
        };
    }
    $sim->stop;
    $server->stop;
}

$backend->stop;
done_testing;
