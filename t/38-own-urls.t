#!/usr/bin/perl

# Our own URLs: exactly these, however they are written, for the methods that they know, under any PaywayPath; what lies
# beside them is the site's.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Test;

my ($sim, $server) = paywall(
    modules    => ['rewrite'],
    files      => {
        'docroot/index.html'      => "front controller\n",
        'docroot/payway/own.html' => "the site's own file\n",
        'docroot/payway/me'       => "never seen\n",
        'docroot/peek.shtml'      => "HEAD <!--#include virtual=\"/payway/me\" --><!--#include virtual=\"/payway/wall\" --> END\n",
    },
    directives => <<~'MORE',
        RewriteEngine On
        RewriteRule ^/gone$ - [G]
        RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} !-f
        RewriteRule . /index.html
        ErrorDocument 410 /payway/wall
        <Directory @DOCROOT@>
            Options +Includes
            AddOutputFilter INCLUDES .shtml
        </Directory>
        MORE
);
$server->allow_log(qr/\[include:error\]/);
my $url = $server->url;
sub browser (%option) { return PWK::Client->new(base => $url, %option) }
sub raw ($line) { return browser()->raw("$line HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n") }

subtest 'one address, however it is written' => sub {
    for my $written (qw(/payway/me //payway//me /./payway/me /x/../payway/me /%70ayway/m%65 /payway/me? /payway/me?x=y&lang=en http://127.0.0.1/payway/me)) {
        my $answer = raw("GET $written");
        like $answer, qr{\AHTTP/1\.1 200 .*"state":\s*"anonymous"}s, $written;
    }
};

subtest 'and no other' => sub {
    for my $written (qw(/PAYWAY/me /payway/ME /payway/me/ /payway/me;x /payway/mee /payway/m /payway /payway/ /payway/none /xpayway/me /payway/login/returns
        /payway/landing/x /payway/purchase /payway/wall /payway/assets /payway/assetsx/payway.css)) {
        my $answer = raw("GET $written");
        like $answer, qr{\AHTTP/1\.1 200 .*front controller}s, "$written: the site's own";
    }
    for my $written (qw(/payway%2fme /payway/me%00 /payway/me%2f /payway/assets/%2e%2e%2fwall.shtml)) {
        like raw("GET $written"), qr{\AHTTP/1\.1 40[04] }, "$written: nobody's";
    }
    like browser()->get('/payway/own.html')->body, qr/the site's own file/, 'a file of the site beside them';
    for my $name (qw(none.css README.md wall.shtml .css payway.css.bak .. text.sv.shtml)) {
        is browser()->get("/payway/assets/$name")->status, $name eq '..' ? 200 : 404, "assets/$name is none";
        unlike browser()->get("/payway/assets/$name")->body, qr/<!--#/, "assets/$name: no template in clear";
    }
};

subtest 'methods' => sub {
    my %allow = (
        landing => 'GET, HEAD', login => 'GET, HEAD, POST', 'login/return' => 'GET, HEAD', logout => 'GET, HEAD, POST', me => 'GET, HEAD',
        offers => 'GET, HEAD', buy => 'POST', 'assets/payway.css' => 'GET, HEAD',
    );
    for my $name (sort keys %allow) {
        for my $method (qw(GET POST PUT DELETE PATCH OPTIONS PROPFIND)) {
            next if $allow{$name} =~ /\b$method\b/;
            my $answer = browser()->request($method => "/payway/$name");
            is $answer->status, 405, "$method $name: 405";
            is $answer->header('Allow'), $allow{$name}, "$method $name: with what it knows";
            is scalar $answer->header('Cache-Control'), 'no-store', "$method $name: stored by nobody" unless $name =~ /assets/;
        }
        like raw("TRACE /payway/$name"), qr{\AHTTP/1\.1 405 }, "TRACE $name: 405";
    }
    for my $name (qw(me offers login logout)) {
        my ($get, $head) = (browser()->get("/payway/$name"), browser()->head("/payway/$name"));
        is $head->status, $get->status, "HEAD $name: as GET";
        is $head->body, '', "HEAD $name: without a body";
        is scalar $_->header('Cache-Control'), 'no-store', "$name: stored by nobody" for $get, $head;
    }
};

subtest 'assets are for everybody, and for keeps' => sub {
    my $css = browser()->get('/payway/assets/payway.css', Cookie => 'payway=x');
    is $css->status, 200, 'there';
    is join(',', map { $css->header($_) // () } qw(Set-Cookie Cache-Control Vary)), '', 'the same for all';
    is $css->header('X-Content-Type-Options'), 'nosniff', 'nosniff';
    is browser()->get('/payway/assets/payway.css', 'If-None-Match' => $css->header('ETag'))->status, 304, 'by ETag';
    is browser()->get('/payway/assets/payway.css', 'If-Modified-Since' => $css->header('Last-Modified'))->status, 304, 'by date';
    is browser()->get('/payway/assets/payway.css', Range => 'bytes=0-9')->body, substr($css->body, 0, 10), 'in parts';
    is browser()->head('/payway/assets/payway.css')->header('Content-Length'), length $css->body, 'HEAD tells the length';
};

subtest 'nobody reaches the wall or a reader by the back door' => sub {
    my $page = browser()->get('/peek.shtml')->body;
    like $page, qr/HEAD .* END/s, 'a page that includes our URLs';
    unlike $page, qr/"state"|data-verdict/, 'gets nothing of them';
    my $gone = browser()->get('/gone');
    is $gone->status, 410, 'an ErrorDocument that names the wall for something else';
    unlike $gone->body, qr/data-verdict/, 'draws none';
    my $offers = browser()->get('/payway/offers');
    is $offers->status, 200, 'the offers have a page of their own';
    is $offers->header('Content-Security-Policy') =~ /default-src 'none'/ ? 1 : 0, 1, 'with a policy';
};

subtest 'another PaywayPath' => sub {
    $server->vhosts({config => standard_vhost() . "PaywayPath /konto/betala\nRewriteEngine On\nRewriteRule . /index.html\n"});
    $server->graceful;
    is browser()->get('/konto/betala/me')->json->{login_url}, "$url/konto/betala/login", 'me, with its addresses';
    like browser()->get($_)->body, qr/front controller/, "$_ is the site's" for qw(/payway/me /konto/me /konto/betalame /konto/betala);
    my $wall = browser()->get('/premium/a.html');
    is $wall->status, 402, 'the wall stands';
    like $wall->body, qr{"(?:\Q$url\E)?/konto/betala/assets/payway\.css"}, 'with its style sheet there';
    unlike $wall->body, qr{/payway/}, 'and nothing elsewhere';
    my $browser = browser();
    $sim->client($PWK::Test::CLIENT, {redirect_uri => "$url/konto/betala/landing"});
    is log_in($browser, 'subscriber', '/konto/betala/login?r=%2Fpremium%2Fa.html')->url, "$url/premium/a.html", 'one logs in there';
};

$sim->stop;
done_testing;
