package PaywaySim::Klarna;

# Klarna's own hosts in one: the script api.js, the frame that it opens, the authorization that it asks for, and the
# page that the buyer passes on the way to the confirmation. Also what Payway hands on from Klarna: client tokens,
# categories, redirects.

use Mojo::Base -base, -signatures;
use utf8;
use Mojo::File qw(path);
use Mojo::Util qw(xml_escape);
use PaywaySim::Answer qw(html json page redirect refuse);
use PaywaySim::JWT    qw(jwt_sign);
use PaywaySim::Random qw(random_hex);

use constant BADGE => '/payment-method/assets/badges/generic/klarna.svg';

has 'sim';
has secret => sub { random_hex(32) };    # nobody checks the signature but Klarna

my $SCRIPT = path(__FILE__)->sibling('klarna.js');
my %OPEN   = ('Access-Control-Allow-Origin' => '*', 'Cross-Origin-Resource-Policy' => 'cross-origin');

my %NAME = (
    card                 => 'Betala med kort',
    direct_bank_transfer => 'Betala direkt från banken',
    direct_debit         => 'Autogiro',
    klarna               => 'Betala med Klarna',
    pay_in_parts         => 'Delbetala',
    pay_later            => 'Betala senare',
    pay_now              => 'Betala nu',
    pay_over_time        => 'Betala över tid',
);

sub answer ($self, $request) {
    my $path   = $request->path;
    my %method =
          $path eq '/kp/lib/v1/api.js'          ? (GET  => \&_script)
        : $path eq '/frame'                     ? (GET  => \&_frame)
        : $path eq '/authorizations'            ? (POST => \&_authorize)
        : $path eq BADGE                        ? (GET  => \&_badge)
        : $path =~ m{\A/redirect/([\w-]{1,64})\z}a ? (GET => sub ($self, $request) { $self->_redirect($request, $1) })
        :                                         refuse(404, 'NOT_FOUND', 'No such page');
    my $run = $method{$request->method} // refuse(405, 'METHOD_NOT_ALLOWED', 'Use ' . join(', ', keys %method));
    return $run->($self, $request);
}

sub url ($self) { return $self->sim->shape->get('klarna_url') || $self->sim->url('klarna') }

# -- what Payway hands on

sub client_token ($self, $session) {
    return jwt_sign({
        session_id       => $session->{klarna_session},
        base_url         => $self->url,
        session_type     => 'payments',
        purchase_country => 'SE',
        language         => 'sv',
        environment      => 'playground',
        merchant_name    => $session->{organisation},
        categories       => $session->{categories},
        scenario         => $session->{scenario},
    }, $self->secret);
}

sub category ($self, $identifier) {
    my $badge = $self->url . BADGE;
    return {identifier => $identifier, name => $NAME{$identifier} // $identifier,
        asset_urls => {descriptive => $badge, standard => $badge}};
}

sub redirect_url ($self, $klarna_order_id) { return $self->url . "/redirect/$klarna_order_id" }

# -- the pages

sub _script ($self, $request) {
    return {status => 200, type => 'application/javascript; charset=utf-8', body => $SCRIPT->slurp,
        headers => {%OPEN, 'Cache-Control' => 'no-cache'}};
}

# The widget. It tells the page that it is there, and how high it wants to be.
sub _frame ($self, $request) {
    my $category = $request->query_once->{category} // '';
    my $shown    = xml_escape(length $category ? $NAME{$category} // $category : 'Klarna');
    my $name     = xml_escape($category);
    return html(200, <<~"HTML", 'Cache-Control' => 'no-store');
        <!DOCTYPE html>
        <html lang="sv">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Klarna</title>
        <style>body{font:1rem/1.5 sans-serif;margin:0;padding:1rem;border:1px solid #767676}p{margin:0}</style>
        </head>
        <body>
        <main>
        <h1>Klarna</h1>
        <p data-category="$name">$shown</p>
        </main>
        <script>parent.postMessage({klarna: 'ready', height: 230}, '*');</script>
        </body>
        </html>
        HTML
}

sub _badge ($self, $request) {
    my $svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 71 40" role="img" aria-label="Klarna">'
        . '<rect width="71" height="40" rx="6" fill="#ffa8cd"/><text x="35" y="25" font-family="sans-serif" '
        . 'font-size="15" text-anchor="middle" fill="#0b051d">Klarna</text></svg>';
    return {status => 200, type => 'image/svg+xml', body => $svg, headers => {%OPEN}};
}

# A form, because the browser asks no leave for one. Klarna's word of a session that is over is SESSION_COMPLETED.
sub _authorize ($self, $request) {
    my $no      = sub ($status, $code, $message) { die json($status, {code => $code, message => $message}, %OPEN) };
    my $form    = $request->form_once;
    my $klarna  = $self->sim->books->klarna;
    my $session = $klarna->session($form->{session_id} // '') // $no->(404, 'NOT_FOUND', 'Invalid session id');
    $request->client($session->{client});
    $request->account($session->{account});
    $no->(404, 'SESSION_COMPLETED', 'The session is completed') if $session->{used};
    $no->(404, 'NOT_FOUND', 'Invalid session id') unless $klarna->is_open($session);
    my ($category) = grep { $_ eq ($form->{category} // '') } @{$session->{categories}};
    $no->(400, 'BAD_VALUE', 'The session has no such category') unless defined $category;
    return json(200, {authorization_token => $klarna->authorize($session, $category)->{token}}, %OPEN,
        'Cache-Control' => 'no-store');
}

# Klarna leaves its cookie and passes the buyer on, without asking anything.
sub _redirect ($self, $request, $klarna_order_id) {
    my $klarna = $self->sim->books->klarna;
    my ($charge) = grep { $_->{klarna_order_id} eq $klarna_order_id } $klarna->charges;
    return page(404, 'Not found', '<p>Klarna has no such order.</p>') unless $charge;
    $request->account($charge->{account});
    my $session = $klarna->session($charge->{session});
    return redirect($session->{confirmation_url}, 'Cache-Control' => 'no-store',
        'Set-Cookie' => 'klarna_device=' . random_hex(32) . '; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax');
}

1;
