#!/usr/bin/perl

# Who may read what: Require lines in company, every kind of content, what content sees of the reader, what caches are told,
# and our own URLs before everybody else's. The same under event, worker and prefork (t/36-mpms.t).

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Test;

# A backend that shows what reached it and asks for the worst: a public answer.
my $BACKEND = PWK::Server::free_port();
my $cgi = <<~'CGI';
    #!/usr/bin/perl
    print "Content-Type: text/plain\nCache-Control: public, max-age=600\nSurrogate-Control: max-age=600\nExpires: Fri, 01 Jan 2100 00:00:00 GMT\n";
    print "Status: 500\n" if ($ENV{QUERY_STRING} // '') eq 'fail';
    print "\nSENTINEL-CGI\n", map {"$_=$ENV{$_}\n"} sort keys %ENV;
    CGI
my %files = (
    'docroot/premium/a.html'       => "<p>SENTINEL-A</p>\n", 'docroot/premium/index.html' => "<p>SENTINEL-INDEX</p>\n",
    'docroot/premium/doc.html.en'  => "<p>SENTINEL-EN</p>\n", 'docroot/index.html' => "free\n",
    'docroot/ssi/free.shtml'       => "before <!--#include virtual=\"/premium/a.html\" --> after\n",
    'docroot/dir/premium/b.html'   => "<p>SENTINEL-B</p>\n",
    'docroot/dir/open.html'        => "open\n",
    'docroot/ht/.htaccess'         => "AuthType Payway\nRequire payway-product example_web\n", 'docroot/ht/x.html' => "<p>SENTINEL-HT</p>\n",
    'docroot/bad/.htaccess'        => "AuthType Payway\nRequire payway-product unheard_of\n",  'docroot/bad/x.html' => "<p>SENTINEL-BAD</p>\n",
    'docroot/wp/.htaccess'         => "RewriteEngine On\nRewriteRule . /wp/index.html [L]\n",  'docroot/wp/index.html' => "front controller\n",
    'docroot/greet.html'           => "greet\n",
    map { ("docroot/$_/x.html" => "<p>SENTINEL-" . uc $_ . "</p>\n") } qw(any anyip all not valid account two basic whole wallfile walloff cc),
);
my $sections = <<~"SECTIONS";
    RewriteEngine On
    RewriteRule ^/nice\$ /premium/a.html [PT]
    ScriptAlias /premium/cgi/ \@ROOT\@/cgi/
    ScriptAlias /cgi/ \@ROOT\@/cgi/
    ProxyPass /premium/backend/ http://127.0.0.1:$BACKEND/cgi/
    ProxyPass /all-of-it/ http://127.0.0.1:$BACKEND/
    <Directory \@ROOT\@/cgi>
        Require all granted
        Options +ExecCGI
    </Directory>
    <Directory \@DOCROOT\@>
        Options +Includes +MultiViews
        AddOutputFilter INCLUDES .shtml
        AddLanguage en .en
    </Directory>
    <Directory \@DOCROOT\@/dir/premium>
        AuthType Payway
        Require payway-product example_web
    </Directory>
    <Directory \@DOCROOT\@/ht>
        AllowOverride AuthConfig
    </Directory>
    <Directory \@DOCROOT\@/bad>
        AllowOverride AuthConfig
    </Directory>
    <Directory \@DOCROOT\@/wp>
        AllowOverride FileInfo
    </Directory>
    <Location /any>
        AuthType Payway
        <RequireAny>
            Require payway-product example_paper
            Require payway-product example_web
        </RequireAny>
    </Location>
    <Location /anyip>
        AuthType Payway
        <RequireAny>
            Require ip 127.0.0.2
            Require payway-product example_web
        </RequireAny>
    </Location>
    <Location /all>
        AuthType Payway
        <RequireAll>
            Require ip 127.0.0.0/8
            Require payway-product example_web
        </RequireAll>
    </Location>
    <Location /not>
        AuthType Payway
        <RequireAll>
            Require all granted
            Require not payway-product example_web
        </RequireAll>
    </Location>
    <Location /valid>
        AuthType Payway
        Require valid-user
    </Location>
    <Location /account>
        AuthType Payway
        Require payway-account
    </Location>
    <Location /two>
        AuthType Payway
        Require payway-product example_other example_web
    </Location>
    <Location /basic>
        AuthType Basic
        AuthName x
        AuthBasicProvider file
        AuthUserFile \@ROOT\@/passwords
        <RequireAll>
            Require valid-user
            Require payway-product example_web
        </RequireAll>
    </Location>
    <Location /wallfile>
        AuthType Payway
        Require payway-product example_web
        PaywayWall /index.html
    </Location>
    <Location /walloff>
        AuthType Payway
        Require payway-product example_web
        PaywayWall off
        ErrorDocument 402 "own words"
    </Location>
    <Location /cc>
        AuthType Payway
        Require payway-product example_web
        PaywayCacheControl "private, max-age=600"
        Header always set Cache-Control "public, max-age=99"
    </Location>
    <Location /greet.html>
        PaywayReader On
    </Location>
    SECTIONS
my ($sim, $server, $client) = paywall(
    modules    => [qw(rewrite proxy_http cgi negotiation auth_basic authn_file authz_user expires)],
    files      => {%files, passwords => 'me:{SHA}' . do { require Digest::SHA; Digest::SHA::sha1_base64('pw') } . "=\n"},
    directives => $sections, start => 0,
);
$server->file('cgi/show.pl', $cgi, 0755);
my $backend = PWK::Server->new(payway => 0, port => $BACKEND, modules => ['cgi'], watch => 0,
    config => "ScriptAlias /cgi/ @{[$server->path('cgi')]}/\n<Directory @{[$server->path('cgi')]}>\nRequire all granted\n</Directory>\n")->start;
$server->allow_log(qr/PWK0124/, qr/PWK0119: .*example_paper/, qr/\[include:error\].*subrequest setup returned 402/);
$server->start;
my $url = $server->url;

sub browser (%option) { return PWK::Client->new(base => $url, %option) }
my ($reader, $other, $stranger) = (browser(), browser(), browser());
log_in($reader);
log_in($other, 'other', '/payway/login?r=%2Findex.html');

subtest 'Require lines, alone and in company' => sub {
    # path, subscriber, a reader without the product, a stranger
    for my $case (
        ['/premium/a.html', 200, 402, 402], ['/any/x.html', 200, 200, 402], ['/all/x.html', 200, 402, 402], ['/two/x.html', 200, 402, 402],
        ['/valid/x.html', 200, 200, 402], ['/account/x.html', 200, 200, 402], ['/anyip/x.html', 200, 402, 402], ['/dir/premium/b.html', 200, 402, 402],
        ['/dir/open.html', 200, 200, 200], ['/ht/x.html', 200, 402, 402], ['/not/x.html', 403, 200, 200], ['/nice', 200, 402, 402],
        ['/premium/', 200, 402, 402], ['/premium/doc.html', 200, 402, 402], ['/premium/backend/show.pl', 200, 402, 402], ['/premium/cgi/show.pl', 200, 402, 402],
    ) {
        my ($path, @want) = @$case;
        is_deeply [map { $_->get($path)->status } $reader, $other, $stranger], \@want, $path;
        for my $answer (map { $_->get($path) } $want[1] == 402 ? $other : (), $want[2] == 402 ? $stranger : ()) {
            unlike $answer->body, qr/SENTINEL/, "$path: nothing of it";
        }
    }
    is PWK::Client->new(base => $url)->get('/anyip/x.html', 'X-Forwarded-For' => '127.0.0.2')->status, 402, 'a header opens nothing';
    is $stranger->get('/bad/x.html')->status, 500, 'a .htaccess with a product that cookies do not carry is an error';
    $server->expect_log(qr/PWK0054: Require payway-product unheard_of .*: readers' cookies do not carry that product/);
    my @basic = (Authorization => 'Basic bWU6cHc=');
    is $reader->get('/basic/x.html')->status, 401, 'under another AuthType its own login comes first';
    is $reader->get('/basic/x.html', @basic)->status, 200, 'then the product counts';
    is $stranger->get('/basic/x.html', @basic)->status, 402, 'and without it there is the wall';
    $server->allow_log(qr/AH0163[01]/);
};

subtest 'the wall gives nothing away, whatever is asked' => sub {
    for my $case (map { my $path = $_; map { [$path, @$_] } (
        ['GET'], ['HEAD'], ['POST'], ['PUT'], ['DELETE'], ['OPTIONS'], ['PROPFIND'],
        ['GET', Range => 'bytes=0-3'], ['GET', 'If-None-Match' => '*'], ['GET', 'If-Modified-Since' => 'Fri, 01 Jan 2100 00:00:00 GMT'],
        ['GET', 'If-Range' => '"x"', Range => 'bytes=0-3'],
    ) } qw(/premium/a.html /premium/cgi/show.pl /premium/backend/show.pl)) {
        my ($path, $method, @headers) = @$case;
        my $answer = $stranger->request($method => $path, headers => \@headers);
        is $answer->status, 402, "$method $path @headers";
        is join(',', grep { defined scalar $answer->header($_) } qw(ETag Last-Modified Accept-Ranges Content-Range Content-Length)), '', 'without a validator or a length';
        is $answer->header('Cache-Control'), 'no-store', 'stored by nobody';
        unlike $answer->body, qr/SENTINEL/, 'without a byte';
    }
};

subtest 'SSI: what a free page includes is decided for itself' => sub {
    like $reader->get('/ssi/free.shtml')->body,     qr/before .*SENTINEL-A.* after/s, 'the subscriber sees it';
    unlike $stranger->get('/ssi/free.shtml')->body, qr/SENTINEL/,                     'a stranger does not';
};

subtest 'what content sees of the reader' => sub {
    for my $path ('/premium/cgi/show.pl', '/premium/backend/show.pl') {
        my $body = $reader->get($path, Cookie => $reader->cookie_header("$url/") . '; other="a b"; x=1',
            'Payway-Account' => 'forged', 'X-Payway-Verdict' => 'forged', 'X_Payway_Account' => 'forged', 'payway_product' => 'forged', 'X-Other' => 'kept')->body;
        unlike $body, qr/forged/, "$path: nothing that a client claims";
        like $body, qr/^HTTP_X_OTHER=kept$/m, 'other headers stay';
        like $body, qr/^HTTP_COOKIE=.*other="a b"; x=1/m, 'other cookies stay as they were';
        unlike $body, qr/^HTTP_COOKIE=.*\bpayway(?:-login)?=/m, 'ours are taken out';
    }
    my $id   = $PWK::Test::ACCOUNT{subscriber}{id};
    my $body = $reader->get('/premium/cgi/show.pl')->body;
    like $body, qr/^$_$/m, $_ for "REMOTE_USER=$id", "PAYWAY_ACCOUNT=$id", 'PAYWAY_VERDICT=granted', 'PAYWAY_PRODUCT=example_web', 'AUTH_TYPE=Payway';
    unlike $stranger->get('/cgi/show.pl', 'Payway-Verdict' => 'granted', 'Payway_Account' => 'x')->body, qr/PAYWAY/, 'a free place: no header of ours, no variable';
};

subtest 'what caches are told' => sub {
    for my $case (
        ['/premium/a.html', 200], ['/premium/a.html', 304, 'If-None-Match' => '*'], ['/premium/a.html', 206, Range => 'bytes=0-3'], ['/premium/none.html', 404],
        ['/premium/cgi/show.pl', 200], ['/premium/cgi/show.pl?fail', 500], ['/premium/backend/show.pl', 200], ['/premium/backend/none', 404],
        ['/anyip/x.html', 200], ['/nice', 200],
    ) {
        my ($path, $status, @headers) = @$case;
        my $answer = $reader->get($path, @headers);
        is $answer->status, $status, "$path: $status";
        is_deeply [$answer->header('Cache-Control')], ['private, no-cache'], 'private, in one line';
        like join(',', $answer->header('Vary')), qr/\bCookie\b/, 'by cookie';
        is join(',', grep { defined scalar $answer->header($_) } qw(Surrogate-Control CDN-Cache-Control Expires)), '', 'and nothing that says otherwise';
    }
    is_deeply [$reader->get('/cc/x.html')->header('Cache-Control')], ['private, max-age=600'], 'PaywayCacheControl has the last word';
    is_deeply [$stranger->get('/cc/x.html')->header('Cache-Control')], ['no-store'], 'and the wall is stored by nobody, whatever `Header always` says';
    for my $path ('/wallfile/x.html', '/walloff/x.html') {
        my $answer = $stranger->get($path);
        is $answer->status, 402, "$path: 402";
        is_deeply [$answer->header('Cache-Control')], ['no-store'], 'a wall that others draw neither';
    }
    like $stranger->get('/walloff/x.html')->body, qr/own words/, 'PaywayWall off: the ErrorDocument';
    like $stranger->get('/wallfile/x.html')->body, qr/free/, 'PaywayWall with a path: that page';
    is scalar $stranger->get('/index.html')->header('Cache-Control'), undef, 'free pages are as they were';
    is scalar $reader->get('/index.html')->header('Vary'), undef, 'for subscribers too';
    like $reader->get('/greet.html')->header('Cache-Control'), qr/private/, 'PaywayReader On: private for who is known';
    like join(',', $stranger->get('/greet.html')->header('Vary')), qr/Cookie/, 'and by cookie for all';
};

subtest 'our own URLs, whoever else wants them' => sub {
    my %front = (
        'a rewrite of everything'  => "RewriteEngine On\nRewriteRule . /index.html\n",
        'FallbackResource'         => "FallbackResource /index.html\n",
        'FallbackResource below /' => "<Location />\nFallbackResource /index.html\n</Location>\n",
        'ProxyPass /'              => "ProxyPass / http://127.0.0.1:$BACKEND/\n",
        'ProxyPass / mapping'      => "ProxyPass / http://127.0.0.1:$BACKEND/ mapping=encoded\n",
        'RewriteRule [P]'          => "RewriteEngine On\nRewriteRule ^/(.*) http://127.0.0.1:$BACKEND/\$1 [P]\n",
        'a paid site'              => "<Location />\nAuthType Payway\nRequire payway-product example_web\n</Location>\n",
        'SetHandler'               => "<Location />\nSetHandler cgi-script\n</Location>\n",
        'Alias'                    => "Alias /payway \@DOCROOT\@/any\n",
        'a .htaccess'              => "<Directory \@DOCROOT\@>\nAllowOverride FileInfo\n</Directory>\n",
    );
    $server->file('docroot/.htaccess', "RewriteEngine On\nRewriteRule . /index.html [L]\n");
    for my $name (sort keys %front) {
        $server->vhosts({config => standard_vhost() . $front{$name}});
        $server->graceful;
        my $browser = browser();
        is $browser->get('/payway/me')->json->{state}, 'anonymous', "$name: me";
        like $browser->get('/payway/offers?r=%2Fpremium%2Fa.html')->body, qr/Exempel Digital/, "$name: offers, with fragments";
        like $browser->get('/payway/assets/payway.css')->header('Content-Type'), qr{text/css}, "$name: the style sheet";
        is $browser->get('/premium/a.html')->status, 402, "$name: the wall";
        like $browser->get('/premium/a.html')->body, qr/Exempel Digital/, "$name: drawn by us";
    }
    unlink $server->path('docroot/.htaccess');
    $server->vhosts({config => standard_vhost() . $sections});
    $server->graceful;
    is $stranger->get("/payway/$_")->status, 404, "/payway/$_ is not ours" for qw(wall none me/ me/x landing/x assets/README.md assets/wall.shtml assets/../wall.shtml assets/.x);
    my $answer = $stranger->request(POST => '/payway/me');
    is $answer->status, 405, 'a method that it does not know';
    is $answer->header('Allow'), 'GET, HEAD', 'and those that it does';
    my $etag = $stranger->get('/payway/assets/payway.css')->header('ETag');
    is $stranger->get('/payway/assets/payway.css', 'If-None-Match' => $etag)->status, 304, 'style sheets are kept by browsers';
};

$backend->stop;
$sim->stop;
done_testing;
