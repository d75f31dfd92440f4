#!/usr/bin/perl

# Requests that become other requests (front controllers, includes, error documents, CGI redirects, listings), and what
# their responses tell caches: whatever a paid address led to is private, whoever wrote the last header.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Test;

my $BACKEND = PWK::Server::free_port();
my $SHOW    = <<~'CGI';
    #!/usr/bin/perl
    my %field = map { split /=/, $_, 2 } split /&/, $ENV{QUERY_STRING} // $ENV{REDIRECT_QUERY_STRING} // '';
    print "Status: $field{status}\n" if $field{status};
    print "Location: $field{to}\n" if $field{to};
    print "Content-Type: text/plain\nCache-Control: public, max-age=600\nSet-Cookie: site=1\nVary: Accept-Language\n";
    print "\nSENTINEL-SHOW\n", map {"$_=$ENV{$_}\n"} sort keys %ENV;
    CGI
my ($sim, $server) = paywall(
    modules => [qw(rewrite proxy_http cgi negotiation autoindex expires deflate actions filter authz_user)],
    files   => {
        'docroot/index.html'             => "free\n",
        'docroot/premium/a.html'         => "<p>SENTINEL-A</p>\n" x 20,
        'docroot/premium/shut.html'      => "SENTINEL\n",
        'docroot/premium/list/b.html'    => "b\n",
        'docroot/premium/doc.html.en'    => "SENTINEL en\n",
        'docroot/premium/doc.html.sv'    => "SENTINEL sv\n",
        'docroot/premium/page.shtml'     => "SENTINEL-OUT <!--#include virtual=\"/premium/a.html\" --> <!--#include virtual=\"/premium/paper/p.html\" --> END\n",
        'docroot/premium/paper/p.html'   => "SENTINEL-PAPER\n",
        'docroot/greet/page.shtml'       => "HEAD <!--#include virtual=\"/premium/a.html\" --> END <!--#echo var=\"PAYWAY_VERDICT\" -->\n",
        'docroot/listed/free.txt'        => "free\n",
        'docroot/listed/paid.txt'        => "SENTINEL\n",
        'docroot/listed/paper.txt'       => "SENTINEL\n",
        'docroot/wp/.htaccess'           => "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . /cgi/show.pl [L]\n",
        'docroot/index-file/index.html'  => "SENTINEL\n",
        'docroot/anyone/shut.html'       => "SENTINEL\n",
        'docroot/account/shut.html'      => "SENTINEL\n",
        'docroot/premium/expires.html'   => "SENTINEL\n",
        'docroot/error.html'             => "our own 404\n",
    },
    directives => <<~"MORE",
        RewriteEngine On
        RewriteRule ^/premium/front/ \@ROOT\@/cgi/show.pl [H=cgi-script]
        ScriptAlias /cgi/ \@ROOT\@/cgi/
        ScriptAlias /premium/cgi/ \@ROOT\@/cgi/
        ScriptAlias /account/cgi/ \@ROOT\@/cgi/
        ProxyPass /premium/backend/ http://127.0.0.1:$BACKEND/
        ProxyPass /free-backend/ http://127.0.0.1:$BACKEND/
        Action by-script /cgi/show.pl virtual
        <Directory \@ROOT\@/cgi>
            Require all granted
            Options +ExecCGI
        </Directory>
        <Directory \@DOCROOT\@>
            Options +Includes +MultiViews +Indexes
            AddOutputFilter INCLUDES .shtml
            AddLanguage en .en
            AddLanguage sv .sv
        </Directory>
        <Directory \@DOCROOT\@/wp>
            AllowOverride FileInfo
        </Directory>
        <Location /wp/premium>
            AuthType Payway
            Require payway-product example_web
        </Location>
        <Location /premium/paper>
            Require payway-product example_paper
        </Location>
        <Location /premium/action>
            SetHandler by-script
        </Location>
        <Location /premium/own404>
            ErrorDocument 404 /error.html
        </Location>
        <Location /account>
            AuthType Payway
            Require valid-user
            ErrorDocument 403 "words for 403"
        </Location>
        <Location /anyone>
            AuthType Payway
            <RequireAny>
                Require payway-product example_paper
                Require user $PWK::Test::ACCOUNT{subscriber}{id}
            </RequireAny>
        </Location>
        ScriptAlias /anyone/cgi/ \@ROOT\@/cgi/
        <Location /greet>
            PaywayReader On
            Header set Cache-Control "public, max-age=600"
        </Location>
        <Files paid.txt>
            AuthType Payway
            Require payway-product example_web
        </Files>
        <Directory \@DOCROOT\@/index-file>
            <Files index.html>
                AuthType Payway
                Require payway-product example_web
            </Files>
        </Directory>
        <Files paper.txt>
            AuthType Payway
            Require payway-product example_paper
        </Files>
        <Location /premium/expires.html>
            ExpiresActive On
            ExpiresDefault "access plus 1 hour"
            AddOutputFilterByType DEFLATE text/html
            Header merge Vary X-Site
        </Location>
        <Location /drawn>
            AuthType Payway
            Require payway-product example_web
            PaywayWall off
            ErrorDocument 402 /cgi/show.pl
        </Location>
        <Location /drawn-by-path>
            AuthType Payway
            Require payway-product example_web
            PaywayWall /cgi/show.pl
        </Location>
        <LocationMatch "^/drawn-by-backend">
            AuthType Payway
            Require payway-product example_web
            PaywayWall off
            ErrorDocument 402 /free-backend/cgi/show.pl
        </LocationMatch>
        MORE
    start => 0,
);
chmod 0, $server->path("docroot/$_/shut.html") for qw(premium account anyone);
$server->file('cgi/show.pl', $SHOW, 0755);
my $backend = PWK::Server->new(
    payway => 0, port => $BACKEND, modules => ['cgi'], watch => 0,
    docroot => {'a.html' => "SENTINEL-BACKEND\n", 'shut.html' => "SENTINEL\n"},
    config  => <<~"CONFIG",
        ScriptAlias /cgi/ @{[$server->path('cgi')]}/
        <Directory @{[$server->path('cgi')]}>
            Require all granted
        </Directory>
        Header set Cache-Control "public, max-age=600"
        Header set Surrogate-Control "max-age=600"
        Header set Vary "Accept-Encoding, cookie"
        <Location /shut.html>
            Require all denied
        </Location>
        CONFIG
)->start;
$server->allow_log(qr/PWK0124/, qr/PWK0119: .*example_paper/, qr/\[include:error\].*subrequest setup returned 402/, qr/AH00132|AH00035|AH01630|AH00687|AH00690/);
$server->start;
my ($url, $id) = ($server->url, $PWK::Test::ACCOUNT{subscriber}{id});

sub browser (%option) { return PWK::Client->new(base => $url, %option) }
# Our cookies of a browser; the simulator's, which shares the host name, is the site's like any other.
sub own_cookies ($browser) { return join '; ', map {"$_=" . $browser->cookie($_)} grep { defined $browser->cookie($_) } qw(payway payway-login) }
my ($reader, $other, $stranger) = (browser(), browser(), browser());
log_in($reader, 'subscriber', '/payway/login?r=%2Findex.html');
log_in($other,  'other',      '/payway/login?r=%2Findex.html');

# One line that lets no shared cache keep it, by cookie, and nothing beside it that says otherwise.
sub is_private ($answer, $name) {
    is_deeply [$answer->header('Cache-Control')], ['private, no-cache'], "$name: private";
    is scalar(grep {/\bcookie\b/i} map { split /,/ } $answer->header('Vary')), 1, "$name: by cookie, said once";
    is join(',', grep { defined scalar $answer->header($_) } qw(Surrogate-Control CDN-Cache-Control Expires)), '', "$name: nothing beside";
}

subtest 'whatever a paid address leads to is private' => sub {
    my $etag = $reader->get('/premium/a.html')->header('ETag');
    for my $case (
        ['/premium',                            301],
        ['/premium/a.html',                     200],
        ['/premium/a.html',                     304, 'If-None-Match' => $etag],
        ['/premium/a.html',                     412, 'If-Match' => '"other"'],
        ['/premium/a.html',                     206, Range => 'bytes=0-3'],
        ['/premium/a.html',                     416, Range => 'bytes=9999-'],
        ['/premium/shut.html',                  403],
        ['/premium/none.html',                  404],
        ['/premium/own404/none.html',           404],
        ['/premium/doc.html',                   200, 'Accept-Language' => 'sv'],
        ['/premium/doc.html',                   406, 'Accept-Language' => 'fi;q=1, *;q=0'],
        ['/premium/list/',                      200],
        ['/premium/page.shtml',                 200],
        ['/premium/expires.html',               200, 'Accept-Encoding' => 'gzip'],
        ['/premium/front/2026/article',         200],
        ['/premium/action/x',                   200],
        ['/wp/premium/2026/article',            200],
        ['/premium/cgi/show.pl',                200],
        ['/premium/cgi/show.pl?status=404',     404],
        ['/premium/cgi/show.pl?status=503',     503],
        ['/premium/cgi/show.pl?to=/error.html', 200],
        ['/premium/cgi/show.pl?to=http://127.0.0.1/', 302],
        ['/premium/backend/a.html',             200],
        ['/premium/backend/a.html',             206, Range => 'bytes=0-3'],
        ['/premium/backend/a.html',             304, 'If-None-Match' => '*'],
        ['/premium/backend/shut.html',          403],
        ['/premium/backend/cgi/show.pl?status=500', 500],
        ['/listed/paid.txt',                    200],
        ['/greet/page.shtml',                   200],
    ) {
        my ($path, $status, @headers) = @$case;
        my $name   = join ' ', $path, @headers ? $headers[0] : ();
        my $answer = $reader->get($path, @headers);
        is $answer->status, $status, "$name: $status";
        is_private($answer, $name);
        next if $path eq '/premium/own404/none.html' || $path =~ m{\A/greet};
        my $wall = $stranger->get($path, @headers);
        is $wall->status, 402, "$name: a stranger meets the wall";
        is_deeply [$wall->header('Cache-Control')], ['no-store'], "$name: which nobody stores";
        unlike $wall->body, qr/SENTINEL/, "$name: without a word of it";
    }
    like $reader->get('/premium/backend/a.html')->header('Vary'), qr/Accept-Encoding/i, 'the backend\'s Vary stays';
    is_deeply [$reader->get('/premium/cgi/show.pl')->header('Set-Cookie')], ['site=1'], 'its cookies too';
    my $head = $reader->head('/premium/a.html');
    my $index = $stranger->get('/index-file/');
    is $index->status, 402, 'an index file that is guarded in an open directory: 402';
    unlike $index->body, qr/SENTINEL/, 'and not the file';
    is_private($reader->get('/index-file/'), 'for the subscriber');
    is_private($head, 'HEAD');
    is $head->body, '', 'HEAD: no body';
};

subtest 'what the redirected one sees' => sub {
    for my $path ('/wp/premium/2026/article', '/premium/front/x', '/premium/action/x') {
        my $body = $reader->get($path, 'Payway-Account' => 'forged', Cookie => own_cookies($reader) . '; own=1')->body;
        like $body, qr/^(?:REDIRECT_)?PAYWAY_VERDICT=granted$/m,       "$path: the verdict";
        like $body, qr/^(?:REDIRECT_)?PAYWAY_ACCOUNT=\Q$id\E$/m,       "$path: the account";
        like $body, qr/^(?:REDIRECT_)?REMOTE_USER=\Q$id\E$/m,          "$path: the user";
        like $body, qr/^HTTP_COOKIE=own=1$/m,                          "$path: cookies without ours";
        unlike $body, qr/forged/,                                      "$path: nothing that a client claims";
    }
};

subtest 'a refusal that is not ours stays what it is' => sub {
    for my $path ('/premium/shut.html', '/premium/cgi/show.pl?status=403', '/account/cgi/show.pl?status=403', '/anyone/cgi/show.pl?status=403', '/anyone/shut.html', '/premium/backend/shut.html') {
        my $answer = $reader->get($path);
        is $answer->status, 403, "$path: 403";
        unlike $answer->body, qr/data-verdict=/, "$path: and no wall";
    }
    my $answer = $reader->get('/account/shut.html');
    is $answer->status, 403, 'after check_authn: 403';
    like $answer->body, qr/words for 403/, 'and the ErrorDocument';
};

subtest 'includes are decided one by one' => sub {
    my $page = $reader->get('/premium/page.shtml')->body;
    like $page, qr/SENTINEL-OUT .*SENTINEL-A.* END/s, 'in a paid page: what this reader has';
    unlike $page, qr/SENTINEL-PAPER/, 'and not what he has not';
    like $reader->get('/greet/page.shtml')->body,     qr/HEAD .*SENTINEL-A.* END granted/s, 'in a free page that knows its reader';
    unlike $stranger->get('/greet/page.shtml')->body, qr/SENTINEL/,                         'and for a stranger: nothing';
    my $free = $stranger->get('/greet/page.shtml');
    like $free->body, qr/HEAD .* END anonymous/s, 'but the page itself';
    is $free->header('Vary'), 'Cookie', 'by cookie';
};

subtest 'a listing shows what its reader may read' => sub {
    $sim->clear_requests;
    like $reader->get('/listed/')->body,     qr/free\.txt.*paid\.txt/s, 'the subscriber';
    unlike $reader->get('/listed/')->body,   qr/paper\.txt/,            'without what he has not';
    unlike $stranger->get('/listed/')->body, qr/paid\.txt/,             'a stranger';
    is scalar(my @none = $sim->requests(path => '/external')), 0, 'and Payway is not asked for a look';
};

subtest 'a wall that the publisher draws' => sub {
    for my $path ('/drawn/x', '/drawn-by-path/x', '/drawn-by-backend/x') {
        my $answer = $stranger->get($path, 'Payway-Verdict' => 'granted', 'X_Payway_Account' => 'forged');
        # a proxied ErrorDocument answers with the backend's status
        is $answer->status, 402, "$path: 402" unless $path =~ /backend/;
        like $answer->body, qr/SENTINEL-SHOW/, "$path: drawn there";
        is_deeply [$answer->header('Cache-Control')], ['no-store'], "$path: stored by nobody, though its script says public";
        unlike $answer->body, qr/forged|PAYWAY\w*=granted/i, "$path: without what the client claims";
        next if $path =~ /backend/;
        like $answer->body, qr/^(?:REDIRECT_)?PAYWAY_VERDICT=anonymous$/m,     "$path: the script knows the verdict";
        like $answer->body, qr/^(?:REDIRECT_)?PAYWAY_REASON=not-logged-in$/m, "$path: and the reason";
        my $known = $other->get($path, Cookie => own_cookies($other) . '; own=1')->body;
        like $known, qr/^(?:REDIRECT_)?PAYWAY_VERDICT=no-product$/m, "$path: of a reader without the product";
        like $known, qr/^(?:REDIRECT_)?PAYWAY_ACCOUNT=\Q$PWK::Test::ACCOUNT{other}{id}\E$/m, "$path: who is known";
        like $known, qr/^HTTP_COOKIE=own=1$/m, "$path: by the environment, not by our cookie";
    }
    is $stranger->get('/drawn/x', Accept => 'application/json', 'X-Requested-With' => 'XMLHttpRequest')->status, 402, 'programs: 402';
};

subtest 'a client names no variable of ours, anywhere' => sub {
    my @forged = map { ($_ => 'forged') } qw(Payway-Verdict X-Payway-Verdict X_Payway_Verdict payway_account PAYWAY-REASON X--Payway-X -Payway-X X-Payway Payway);
    for my $case (
        ['a subscriber',   $reader,   GET     => '/premium/cgi/show.pl'],
        ['and a backend',  $reader,   GET     => '/premium/backend/cgi/show.pl'],
        ['a free page',    $stranger, GET     => '/cgi/show.pl'],
        ['a free backend', $stranger, GET     => '/free-backend/cgi/show.pl'],
        ['OPTIONS',        $stranger, OPTIONS => '/free-backend/cgi/show.pl'],
        ['POST',           $stranger, POST    => '/free-backend/cgi/show.pl'],
        ['an error',       $stranger, GET     => '/free-backend/cgi/show.pl?status=500'],
        ['a wall',         $stranger, GET     => '/drawn-by-backend/x'],
    ) {
        my ($name, $browser, $method, $path) = @$case;
        my $body = $browser->request($method => $path, headers => [@forged, 'X-Paywaylike' => 'kept'])->body;
        like $body, qr/^HTTP_X_PAYWAYLIKE=kept$/m, "$name: other headers arrive";
        unlike $body, qr/forged/, "$name: ours do not";
    }
};

subtest 'cookies of the site go on, byte for byte' => sub {
    my $own = own_cookies($reader);
    for my $case (
        ["$own; a=b; c=\"d; e\"",     'a=b; c="d; e"'],
        ["a=b; $own; c=d",            'a=b; c=d'],
        ["a=b;c=d;$own;  e = f",      'a=b;c=d;  e = f'],
        ['a=b; payway_other=x; xpayway=y', 'a=b; payway_other=x; xpayway=y'],
        ["a=\xe5\xe4; $own",          "a=\xe5\xe4"],
        [$own,                        undef],
    ) {
        my ($sent, $seen) = @$case;
        my $name = $sent =~ s/payway(?:-login)?=[^;]*/payway=.../gr;
        for my $path ('/premium/cgi/show.pl', '/free-backend/cgi/show.pl') {
            next if $sent !~ /\Q$own\E/ && $path =~ /premium/;
            my ($got) = $reader->get($path, Cookie => $sent)->body =~ /^HTTP_COOKIE=(.*)$/m;
            is $got, $seen, "$path: $name";
        }
    }
};

$backend->stop;
$sim->stop;
done_testing;
