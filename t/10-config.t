#!/usr/bin/perl

# Whatever is wrong in the configuration is found by `httpd -t`, in one line that says where and what to write instead.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Test;

my ($sim, $server) = paywall(start => 0, secrets => {open => undef, group => undef, empty => '', short => 'too short'});
chmod 0644, $server->path('secrets/open');
chmod 0620, $server->path('secrets/group');
my $secret   = PWK::Server::slurp($server->path('secrets/client'));
my $standard = standard_vhost($PWK::Test::SELLS);

# Runs `httpd -t` with one virtual host; ($status, $output).
sub tried ($vhost, $global = '') {
    $server->vhosts({config => $vhost});
    $server->config("PaywayCache shmcb:\@RUN\@/payway(1048576)\n$global");
    return $server->configtest;
}

sub refuses ($vhost, $like, $name, $global = '') {
    my ($status, $output) = tried($vhost, $global);
    isnt $status, 0, "$name: refused";
    like $output, $like, "$name: and why";
    ok index($output, $secret) < 0, "$name: without the secret";
}

sub accepts ($vhost, $name, $global = '') {
    my ($status, $output) = tried($vhost, $global);
    is $status, 0, "$name: accepted" or diag $output;
    unlike $output, qr/PWK\d{4}/, "$name: nothing to say";
}

accepts($standard, 'the standard configuration');
accepts($standard . "PaywayTimeout 500ms 100ms\nPaywayWallStatus 200\nPaywayIdentify off\nPaywayLogin form\nPaywayLanguages en sv\n"
        . "PaywayTermsURL https://www.example.se/terms#a\nPaywayTrafficSource \"%{HTTP_HOST}\"\n", 'good values');

# Wrong values: each directive's own words.
my @values = (
    ['PaywayEnvironment test',                 qr/PaywayEnvironment: "test" is not an environment: use stage or production/],
    ['PaywayAPI http://api.example.se',        qr/PaywayAPI: "http:\/\/api.example.se" is not a base URL/],
    ['PaywaySSO ftp://x',                      qr/PaywaySSO: "ftp:\/\/x" is not a base URL/],
    ['PaywayPortal https://u:p@x',             qr/PaywayPortal: .* is not a base URL/],
    ['PaywayBaseURL https://x?y',              qr/PaywayBaseURL: .* is not a base URL/],
    ['PaywayBaseURL https://x.se/sub',         qr/PaywayBaseURL https:\/\/x.se\/sub has a path/],
    ['PaywayOrganisation "a b"',               qr/PaywayOrganisation: "a b" is not an organisation id/],
    ['PaywayClient "a b" secret',              qr/PaywayClient: "a b" is not a client id/],
    ['PaywayClient id file:nowhere',           qr/PaywayClient: the secret file:nowhere cannot be opened/],
    ['PaywayClient id file:@SECRET:open@',     qr/can be read by others: chmod 0600/],
    ['PaywayClient id file:@SECRET:group@',    qr/can be written by others: chmod 0600/],
    ['PaywayClient id file:@SECRET:empty@',    qr/the secret file:\S+ is empty/],
    ['PaywayClient id file:@ROOT@',            qr/is not a regular file/],
    ['PaywayClient id env:PWK_NOT_SET',        qr/the secret env:PWK_NOT_SET is not set/],
    ['PaywayClient id exec:/bin/true',         qr/the secret exec:\/bin\/true is empty/],
    ['PaywayCryptoKey short',                  qr/PaywayCryptoKey: the key is shorter than 32 bytes/],
    ['PaywayCryptoKey file:@SECRET:key@ short', qr/PaywayCryptoKey: the key is shorter than 32 bytes/],
    ['PaywayOrderTimeout 601s',                qr/PaywayOrderTimeout: "601s" is longer than 10 minutes/],
    ['PaywayPath payway',                      qr/PaywayPath: "payway" is not a path/],
    ['PaywayPath /',                           qr/PaywayPath: "\/" is not a path/],
    ['PaywayPages nowhere',                    qr/PaywayPages: \S+nowhere\/wall.shtml is missing/],
    ['PaywayIdentify maybe',                   qr/PaywayIdentify: "maybe" is not known: use wall, on or off/],
    ['PaywayLogin sso',                        qr/PaywayLogin: "sso" is not known: use portal or form/],
    ['PaywayOffer a',                          qr/PaywayOffer a: needs code=/],
    ['PaywayOffer a code=x',                   qr/PaywayOffer a: needs products=/],
    ['PaywayOffer a code=x products=y trial=on', qr/trial=on needs period=/],
    ['PaywayOffer a code=x products=y colour=z', qr/colour= is not known: use code/],
    ['PaywayOffer a code=x products=y title="z', qr/PaywayOffer: a quote is not closed/],
    ['PaywayOffer digital code=x products=y',  qr/PaywayOffer: "digital" comes twice/],
    ['PaywayTimeout 10x',                      qr/PaywayTimeout: "10x" is not a time: use 10s/],
    ['PaywayTimeout 10',                       qr/PaywayTimeout: "10" is not a time/],
    ['PaywayTimeout 1ms',                      qr/PaywayTimeout: "1ms" is outside 100ms/],
    ['PaywayCACertificateFile nowhere.pem',    qr/PaywayCACertificateFile: \S+nowhere.pem cannot be read/],
    ['PaywayHttpProxy socks://x',              qr/PaywayHttpProxy: "socks:\/\/x" is not a proxy/],
    ['PaywayTermsURL terms',                   qr/PaywayTermsURL: "terms" is not a link/],
    ['PaywayOffer a code=x products=y trial=on period=5f0d9ea795cfebfb8544ab12', qr/trial=on needs price=/],
    ['PaywayOrderTimeout 0s',                  qr/PaywayOrderTimeout: "0s" is outside/],
    ['PaywayOrderTimeout long',                qr/PaywayOrderTimeout: "long" is not a time/],
    ['PaywayKlarnaSDK api.js',                 qr/PaywayKlarnaSDK: "api.js" is not a link/],
    ['PaywayKlarnaSDK http://cdn.example/a.js', qr/PaywayKlarnaSDK: .* is not a link/],
    ['PaywayKlarnaHosts https://x.example',    qr/PaywayKlarnaHosts: "https:\/\/x.example" /],
    ['PaywayRedirectHosts "*"',                qr/PaywayRedirectHosts: "\*" /],
    ['PaywayLedger mysql x',                   qr/PaywayLedger: "mysql" is not a ledger driver/],
    ['PaywayReader maybe',                     qr/PaywayReader must be On or Off/],
    ['PaywayWall elsewhere',                   qr/PaywayWall: "elsewhere" is not a wall/],
    ['PaywayWall //evil.example',              qr/PaywayWall: "\/\/evil.example" is not a wall/],
    ['PaywayWallStatus 302',                   qr/PaywayWallStatus: "302" is not a status of a wall/],
    ['PaywayOffers other',                     qr/PaywayOffers at \S+:\d+ names other, and there is no PaywayOffer other/],
    ['PaywayKlarnaCategories "pay now"',       qr/PaywayKlarnaCategories: "pay now" is not a payment method category/],
    ['PaywayTrafficSource "%{"',               qr/PaywayTrafficSource: .* is not an expression/],
    ['PaywayMerchantReference "%{"',           qr/PaywayMerchantReference: .* is not an expression/],
    ['PaywayRefreshInterval soon',             qr/PaywayRefreshInterval: "soon" is not a time/],
    ['PaywayStaleIfError 400d',                qr/PaywayStaleIfError: "400d" is (?:not a time|outside)/],
    ['PaywayCacheControl public',              qr/PaywayCacheControl: "public" would let a shared cache/],
    ['PaywayCacheControl max-age=60',          qr/PaywayCacheControl: "max-age=60" needs private or no-store/],
    ['PaywayLanguages swedish',                qr/PaywayLanguages: "swedish" is not a language/],
);
refuses("$standard$_->[0]\n", qr/$_->[1]/, $_->[0]) for @values;
for my $flag (qw(DisableAccountInfoOverwrite RaiseOnSsnAlreadyTakenError RaiseOnSsnAlreadySetError RaiseOnAccountUpdateError RaiseOnDeliveryAddressError)) {
    refuses("${standard}Payway$flag maybe\n", qr/Payway$flag must be On or Off/, "Payway$flag maybe");
}
refuses($standard, qr/PaywayCache: "nothing" is not a cache provider that is loaded/, 'PaywayCache nothing', "PaywayCache nothing:x\n");
refuses("${standard}PaywayCache shmcb:x\n", qr/PaywayCache cannot occur within <VirtualHost>/, 'PaywayCache in a virtual host');
refuses("$standard<Location /x>\nPaywayClient a b\n</Location>\n", qr/PaywayClient not allowed/, 'PaywayClient in a location');

# What is missing: one line, with virtual host, file and line.
my $where = qr/virtual host 127\.0\.0\.1 \(\S+httpd\.conf:\d+\)/;
for my $case (
    [PaywayOrganisation => qr/PWK0125: $where: PaywayOrganisation is missing/],
    [PaywayClient       => qr/PWK0126: $where: PaywayClient is missing/],
    [PaywayCryptoKey    => qr/PWK0113: $where: PaywayCryptoKey is missing/],
    [PaywayAPI          => qr/PWK0110: $where: PaywayEnvironment \(stage or production\) is missing/],
) {
    my ($name, $like) = @$case;
    refuses($standard =~ s/^\s*$name .*\n//mr, $like, "without $name");
}
{
    my ($status, $output) = tried($standard =~ s/^\s*Payway(?:Organisation|Client|CryptoKey) .*\n//mgr . "PaywayOrganisation example\n");
    is scalar(() = $output =~ /PWK01\d\d/g), 2, 'two things missing are two lines of one run';
}

# Require
refuses("$standard<Location /x>\nAuthType Payway\nRequire payway-product\n</Location>\n", qr/Require payway-product: names no product/, 'no code');
refuses("$standard<Location /x>\nAuthType Payway\nRequire payway-product a/b\n</Location>\n", qr/"a\/b" is not a product code/, 'a bad code');
refuses("$standard<Location /x>\nAuthType Payway\nRequire payway-account x\n</Location>\n", qr/Require payway-account: takes nothing more/, 'account with more');
refuses("$standard<Location /x>\nAuthType Payway\nRequire payway-article x\n</Location>\n", qr/Require payway-article: .* reserved/, 'articles');
my $no_type = qr/PWK0117: $where: Require payway-\.\.\. at \S+:\d+ has no AuthType: write AuthType Payway/;
refuses("$standard<Location /x>\nRequire payway-product example_web\n</Location>\n", $no_type, 'without AuthType');
refuses("$standard<Location /x>\n<RequireAny>\nRequire ip 10\nRequire payway-account\n</RequireAny>\n</Location>\n", $no_type, 'without AuthType, nested');
accepts("$standard<Location /premium/inner>\nRequire payway-product example_web\n</Location>\n", 'AuthType from the section above');
accepts("$standard<Directory \@DOCROOT\@/x>\nAuthType Payway\nRequire payway-product example_web\n</Directory>\n", 'a directory');

# What would open, or cannot work.
refuses("$standard<Location /c>\nCacheStorePrivate On\n</Location>\n", qr/PWK0122: .*CacheStorePrivate On at \S+:\d+ would let mod_cache/, 'CacheStorePrivate')
    if -e '/usr/lib/apache2/modules/mod_cache.so' && ($server->{modules} = [qw(cache cache_socache)]);
$server->{modules} = [];
refuses("${standard}PaywayLedger sqlite3 \@ROOT\@/conf/ledger.db\n", qr/PWK0116: $where: PaywayLedger: the server's user \(\S+\) cannot write/, 'a ledger out of reach')
    if !$>;
accepts("${standard}PaywayLedger sqlite3 \@RUN\@/ledger.db\nPaywayOrderTimeout 90s\nPaywayKlarnaHosts *.example.com x.example:8443\n", 'a ledger in reach');
{
    my ($status, $output) = tried(standard_vhost());
    is $status, 0, 'without a ledger: accepted';
    like $output, qr/PWK0131: $where: PaywayLedger is missing: nothing is sold here/, 'and said';
    ($status, $output) = tried($standard =~ s/PaywayTermsURL .*\n//r);
    is $status, 0, 'without terms: accepted';
    like $output . $server->error_log, qr/PWK0133: $where: PaywayTermsURL, PaywayPrivacyURL and PaywayWithdrawalURL/, 'but said';
    # Two titles of one organisation: a reader buys at one at a time only when they share the ledger.
    for my $case (['@RUN@/other.db', 1], ['@RUN@/ledger.db', 0]) {
        my ($ledger, $warns) = @$case;
        $server->vhosts({config => $standard}, {name => 'b.example.se',
            config => $standard =~ s{PaywayBaseURL .*\n}{PaywayBaseURL https://b.example.se\n}r =~ s{PaywayLedger .*\n}{PaywayLedger sqlite3 $ledger\n}r});
        my $mark = $server->mark;
        ($status, $output) = $server->configtest;
        $output .= $server->log_since($mark);
        is $status, 0, "a second title with $ledger: accepted" or diag $output;
        is $output =~ /PWK0134: .*PaywayLedger is another than that of \S+, which sells for the same organisation/ ? 1 : 0, $warns,
            $warns ? 'but said' : 'nothing to say';
    }
    ($status, $output) = tried($standard =~ s/PaywayLedger .*\n/PaywayLedger pgsql "dbname=x"\n/r);
    my $has = grep {-e} glob '/usr/lib/*/apr-util-1/apr_dbd_pgsql.so';
    is $status == 0, $has ? 1 : '', 'a driver that is not installed is found at once, one that is is taken';
    like $output, qr/PWK0132: $where: PaywayLedger pgsql: APR has no such driver/, 'and named' unless $has;
}
refuses($standard =~ s/PaywayAPI .*\n//r =~ s/PaywaySSO .*\n//r . "PaywayEnvironment production\nPaywayRefreshInterval 60s\n",
    qr/PWK0121: .*no less than 360s in production/, 'too often in production');
{
    my ($status, $output) = tried("$standard<Location /y>\nAuthType Payway\nRequire payway-product unsold\n</Location>\n");
    is $status, 0, 'a product that nothing sells is no error';
    like $output . $server->error_log, qr/PWK0119: .*Require payway-product unsold/, 'but said';
}

# mod_include draws the pages.
{
    my ($plain) = (paywall(start => 0))[1];
    my $module = PWK::Server->can('_load');
    no warnings 'redefine';
    local *PWK::Server::_load = sub ($self) { $module->($self) =~ s/^LoadModule include_module.*\n//mr };
    my ($status, $output) = $plain->configtest;
    isnt $status, 0, 'without mod_include: refused';
    like $output, qr/PWK0130: .*mod_include is not loaded.*a2enmod include/, 'and what to do';
}

done_testing;
