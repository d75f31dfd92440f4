#!/usr/bin/perl

# Require payway-... in every company that httpd allows: nested sections, AuthMerging, RequireNone, aliases, <If>, other
# AuthTypes, .htaccess. And what the decision leaves behind: the user in the access log, and no flood in the error log.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha1_base64);
use Time::HiRes qw(sleep);
use PWK::Test;

my $WEB   = 'payway-product example_web';
my $PAPER = 'payway-product example_paper';
my $HERE  = 'ip 127.0.0.1';
my $AWAY  = 'ip 192.0.2.1';
my $ids   = \%PWK::Test::ACCOUNT;
my $BOTH  = {id => '5a0000000000000000000009', email => 'bada@example.se', password => PWK::Server::random_text(12), products => [qw(example_web example_paper)]};
my $BASIC = "AuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile \@ROOT\@/passwords\n";

sub any (@lines)  { return "<RequireAny>\n" . join('', map {"$_\n"} lines(@lines)) . "</RequireAny>" }
sub all (@lines)  { return "<RequireAll>\n" . join('', map {"$_\n"} lines(@lines)) . "</RequireAll>" }
sub none (@lines) { return "<RequireNone>\n" . join('', map {"$_\n"} lines(@lines)) . "</RequireNone>" }
sub lines (@lines) { return map { /\A</ ? $_ : "Require $_" } @lines }

# A section each: what it requires, and what becomes of a subscriber, a reader of the paper, one who has both, a stranger.
# With an AuthType of its own where the words begin with AuthType.
my @SECTIONS = (
    # one after another: any of them, as httpd has it
    ['two lines',                        [lines($WEB, $PAPER)],                                200, 200, 200, 402],
    ['the address first, it fits',       [any($HERE, $WEB)],                                   200, 200, 200, 200],
    ['the address last, it fits',        [any($WEB, $HERE)],                                   200, 200, 200, 200],
    ['the address first, another',       [any($AWAY, $WEB)],                                   200, 402, 200, 402],
    ['the address last, another',        [any($WEB, $AWAY)],                                   200, 402, 200, 402],
    ['all: the address first',           [all($HERE, $WEB)],                                   200, 402, 200, 402],
    ['all: the address last',            [all($WEB, $HERE)],                                   200, 402, 200, 402],
    ['all: another address',             [all($WEB, $AWAY)],                                   403, 403, 403, 403],
    ['both products',                    [all($WEB, $PAPER)],                                  402, 402, 200, 402],
    ['an account and a product',         [all('payway-account', $WEB)],                        200, 402, 200, 402],
    ['a user and a product',             [all('valid-user', $WEB)],                            200, 402, 200, 402],
    ['a product, not the other',         [all($WEB, "not $PAPER")],                            200, 403, 403, 402],
    ['RequireNone of the other',         [all($WEB, none($PAPER))],                            200, 403, 403, 402],
    ['logged in without it',             [all('payway-account', "not $WEB")],                  403, 200, 403, 402],
    ['any of all',                       [any(all($HERE, $PAPER), all($AWAY, $WEB))],          402, 200, 200, 402],
    ['all of any',                       [all(any($PAPER, $WEB), any($HERE, $AWAY))],          200, 200, 200, 402],
    ['forbidden in so many words',       ['AuthzSendForbiddenOnFailure On', lines($WEB)],      200, 402, 200, 402],
    ['granted to all',                   [lines('all granted')],                               200, 200, 200, 200],
    ['an alias',                         [lines('web')],                                       200, 402, 200, 402],
    ['an alias among others',            [any('web', $AWAY)],                                  200, 402, 200, 402],
    ['if the query says so',             ["Require all granted\n<If \"%{QUERY_STRING} != 'free'\">\nAuthType Payway\nRequire $WEB\n</If>"], 200, 402, 200, 402],
    ['a product or a user',              [any($WEB, "user $ids->{other}{id}")],                200, 200, 200, 402],
    ['a user or a product',              [any("user $ids->{other}{id}", $WEB)],                200, 200, 200, 402],
    ['a product or any user',            [any($WEB, 'valid-user')],                            200, 200, 200, 402],
    ['a product or a user unheard of',   [any($WEB, 'user nobody')],                           200, 402, 200, 402],
    ['one of the users',                 [lines("user $ids->{subscriber}{id}")],               200, 401, 401, 402],
    ['Basic or a product',               [$BASIC, any('valid-user', $WEB)],                    200, 401, 200, 401],
);
my $number = 0;
my %path;
my ($config, %docroot) = ('', 'index.html' => "free\n");
for my $section (@SECTIONS) {
    my ($name, $requires) = @$section;
    my $place = $path{$name} = '/s' . ++$number;
    my $type  = $requires->[0] =~ /\AAuthType/ ? '' : "AuthType Payway\n";
    $config .= "<Location $place>\n$type" . join('', map {"$_\n"} @$requires) . "</Location>\n";
    $docroot{"$place/x.html"} = "SENTINEL $name\n";
}

# Sections in one another: the outer wants the web product, the inner says what is written here.
my @NESTED = (
    ['nothing of its own',    '',                                    200, 402, 200, 402],
    ['another product',       "Require $PAPER\n",                    402, 200, 200, 402],
    ['and another product',   "AuthMerging And\nRequire $PAPER\n",   402, 402, 200, 402],
    ['or another product',    "AuthMerging Or\nRequire $PAPER\n",    200, 200, 200, 402],
    ['and the address',       "AuthMerging And\nRequire $HERE\n",    200, 402, 200, 402],
    ['or the address',        "AuthMerging Or\nRequire $HERE\n",     200, 200, 200, 200],
    ['open again',            "Require all granted\n",               200, 200, 200, 200],
    ['shut for all',          "Require all denied\n",                403, 403, 403, 403],
);
# Directories: `AuthMerging Or` of a location would merge with the directory's "all granted" too.
$config .= "<Directory \@DOCROOT\@/outer>\nAuthType Payway\nRequire $WEB\n</Directory>\n";
for my $nested (@NESTED) {
    my $place = $path{$nested->[0]} = '/outer/n' . ++$number;
    $config .= "<Directory \@DOCROOT\@$place>\n$nested->[1]</Directory>\n";
    $docroot{"$place/x.html"} = "SENTINEL $nested->[0]\n";
}

my %HTACCESS = (
    'guards'              => "AuthType Payway\nRequire $WEB\n",
    'is itself open'      => '',
    'reserved'            => "AuthType Payway\nRequire payway-article x\n",
    'names no product'    => "AuthType Payway\nRequire payway-product\n",
    'without an AuthType' => "Require $WEB\n",
    'a server directive'  => "PaywayClient a b\n",
    'a wall of its own'   => "PaywayWall /index.html\n",
);
for my $name (sort keys %HTACCESS) {
    my $place = $path{$name} = '/ht/n' . ++$number;
    $docroot{"$place/x.html"}    = "SENTINEL $name\n";
    $docroot{"$place/.htaccess"} = $HTACCESS{$name};
}
$config .= "<Directory \@DOCROOT\@/ht>\nAllowOverride AuthConfig FileInfo Options Indexes Limit\n</Directory>\n";

my ($sim, $server) = paywall(
    modules    => [qw(auth_basic authn_file authz_user)],
    files      => {passwords => "me:{SHA}" . sha1_base64('pw') . "=\n"},
    seed       => {accounts => [map { {%$_, organisation => $PWK::Test::ORGANISATION, first_name => 'A', last_name => 'B'} } (map { $ids->{$_} } qw(subscriber other)), $BOTH]},
    config     => "<AuthzProviderAlias payway-product web \"example_web\">\n</AuthzProviderAlias>\n",
    docroot    => \%docroot,
    directives => $config,
);
$server->allow_log(qr/PWK0124/, qr/PWK0119: .*example_paper/, qr/AH01630/);
$server->expect_log(qr{AH01631: .*"\Q$path{'one of the users'}\E/});
my $url = $server->url;

sub browser (%option) { return PWK::Client->new(base => $url, %option) }
my @readers = map { browser() } 1 .. 4;
log_in($readers[0], 'subscriber', '/payway/login?r=%2Findex.html');
log_in($readers[1], 'other',      '/payway/login?r=%2Findex.html');
log_in($readers[2], $BOTH,        '/payway/login?r=%2Findex.html');
my ($subscriber, $other, $both, $stranger) = @readers;

# What each of the four gets; nothing but a 200 holds a word of the article, and a wall is a wall.
sub judge ($name, @want) {
    my @answers = map { $_->get("$path{$name}/x.html") } @readers;
    is_deeply [map { $_->status } @answers], \@want, $name;
    for my $answer (@answers) {
        is $answer->body =~ /SENTINEL/ ? 1 : 0, $answer->status == 200 ? 1 : 0, "$name: the article for who may read it" if $answer->status != 200;
        like $answer->body, qr/data-verdict="(?:anonymous|no-product)"/, "$name: a wall" if $answer->status == 402;
    }
    return @answers;
}

subtest 'sections' => sub {
    for my $section (@SECTIONS) {
        my ($name, $requires, @want) = @$section;
        my @answers = judge($name, @want);
        next if $name eq 'granted to all';
        like $_->header('Cache-Control'), qr/\Aprivate/, "$name: what was granted is private, whatever granted it" for grep { $_->status == 200 && $name !~ /Basic/ } @answers;
    }
    is $stranger->get("$path{'if the query says so'}/x.html?free")->status, 200, '<If>: the other way round';
    my @basic = (Authorization => 'Basic bWU6cHc=');
    is $_->get("$path{'Basic or a product'}/x.html", @basic)->status, 200, 'Basic or a product: Basic' for $stranger, $other;
};

subtest 'sections in one another' => sub {
    for my $nested (@NESTED) {
        my ($name, undef, @want) = @$nested;
        judge($name, @want);
    }
};

subtest '.htaccess' => sub {
    judge('guards', 200, 402, 200, 402);
    judge('is itself open', 200, 200, 200, 200);
    my %why = (
        'reserved'            => qr/Require payway-article: .*reserved/,
        'names no product'    => qr/Require payway-product: names no product/,
        'without an AuthType' => qr/PWK0051: Require payway-\.\.\. \(\S+\.htaccess:1\) needs AuthType Payway/,
        'a server directive'  => qr/PaywayClient not allowed/,
        'a wall of its own'   => qr/PaywayWall not allowed/,
    );
    for my $name (sort keys %why) {
        $server->expect_log($why{$name});
        judge($name, 500, 500, 500, 500);
    }
    $server->allow_log(qr/AH00027/);
};

subtest 'nobody is let in by what he says of himself' => sub {
    my $path = "$path{'two lines'}/x.html";
    for my $case (
        ['a user name',  Authorization => 'Basic bWU6cHc='],
        ['headers',      'Payway-Verdict' => 'granted', 'X-Payway-Account' => $ids->{subscriber}{id}, 'REMOTE_USER' => 'x'],
        ['an address',   'X-Forwarded-For' => '127.0.0.1', Forwarded => 'for=127.0.0.1'],
        ['a method',     'X-HTTP-Method-Override' => 'TRACE'],
        ['a cookie',     Cookie => 'payway=1; payway_in=1; __Host-payway=1'],
        ['another path', 'X-Original-URL' => '/index.html', 'X-Rewrite-URL' => '/index.html'],
    ) {
        my ($name, @headers) = @$case;
        is $stranger->get($path, @headers)->status, 402, $name;
    }
    for my $written (map { $path =~ s{\A/}{$_}r } '//', '/./', '/x/../', '/%2e/', 'http://127.0.0.1/') {
        my $answer = browser()->raw("GET $written HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        like $answer, qr{\AHTTP/1.1 402 }, "$written: the same place";
    }
    like browser()->raw("GET $path HTTP/1.0\r\n\r\n"), qr{\AHTTP/1\.\d 402 }, 'HTTP/1.0 without a Host';
    like browser()->raw("GET $path\r\n\r\n"), qr{\A(?!.*SENTINEL)}s, 'HTTP/0.9';
    like browser()->raw("TRACE $path HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"), qr{\A(?!.*SENTINEL)}s, 'TRACE';
};

subtest 'a busy wall fills no error log' => sub {
    my $mark = $server->mark;
    for my $place (map {"$path{$_}/x.html"} 'two lines', 'both products', 'the address first, another', 'a user and a product') {
        $_->get($place) for @readers;
    }
    is $server->log_since($mark), '', 'not a line from 402 to 402';
};

subtest 'the access log knows who read, and no more' => sub {
    my $path = "$path{'an account and a product'}/x.html";
    my %want = (
        subscriber => [$subscriber, qr{ \Q$ids->{subscriber}{id}\E ".*" 200 \d+ "granted"\z}],
        other      => [$other,      qr{ - ".*" 402 \S+ "no-product"\z}],
        stranger   => [$stranger,   qr{ - ".*" 402 \S+ "anonymous"\z}],
    );
    for my $who (sort keys %want) {
        my ($browser, $like) = @{$want{$who}};
        $browser->get("$path?$who");
        my $line;
        # written after the answer
        for (1 .. 200) { ($line) = grep {/\?$who /} $server->access_log; last if defined $line; sleep 0.05 }
        like $line, $like, $who;
    }
    unlike join("\n", $server->access_log, $server->error_log), qr/\@example\.se/, 'no address of a person';
};

subtest 'under another AuthType Payway is asked there' => sub {
    my $path  = "$path{'Basic or a product'}/x.html";
    my @basic = (Authorization => 'Basic bWU6cHc=');
    $sim->clear_requests;
    is $subscriber->get($path)->status, 200, 'the cookie decides alone';
    is scalar(my @none = $sim->requests), 0, 'asking nobody';
};

$sim->stop;
done_testing;
