package PaywaySim::Portal;

# The customer portal as a reader meets it: login, "my account" and the shop. It uses the same browser session as SSO2,
# so a login here is a login at every site of the organisation. The pages are plain, and labelled for browser tests.

use Mojo::Base -base, -signatures;
use Mojo::URL;
use Mojo::Util qw(xml_escape);
use PaywaySim::Answer qw(page redirect);

has 'sim';

sub answer ($self, $request) {
    my $path   = $request->path =~ s{(?<=.)/\z}{}r;
    my %method =
          $path eq '/'            ? (GET => \&_account)
        : lc $path eq '/login/index' || lc $path eq '/login' ? (GET => \&_login_form, POST => \&_login)
        : $path eq '/logout'      ? (POST => \&_logout)
        : $path =~ m{\A/v2/shop/} ? (GET => \&_shop, POST => \&_buy)
        :                           return page(404, 'Not found', '<p>There is no such page.</p>');
    my $run = $method{$request->method} // return page(405, 'Not allowed', '<p>This page is not used like that.</p>');
    return $run->($self, $request);
}

sub _origin ($url) {
    my $u = Mojo::URL->new($url // '');
    return '' unless ($u->protocol eq 'http' || $u->protocol eq 'https') && length($u->host // '') && !$u->userinfo;
    return lc join '', $u->protocol, '://', $u->host, ':', $u->port // ($u->protocol eq 'https' ? 443 : 80);
}

# The clients of whose site this URL is a page; the only places that a browser is sent to.
sub _sites ($self, $url) {
    my $origin = _origin($url) || return;
    return grep { defined $_->{redirect_uri} && _origin($_->{redirect_uri}) eq $origin } $self->sim->books->clients;
}

sub _own ($self, $url) {
    my $origin = _origin($url);
    return $origin && grep { $origin eq _origin($self->sim->url($_)) } qw(portal api);
}

sub _may_lead_to ($self, $url) { return $self->_own($url) || $self->_sites($url) }

# The real portal has a host for each organisation. Here the address that the reader will go back to tells it, then
# the code in the shop's address, then the form, then there being only one.
sub _organisation ($self, $request, $url, $chosen = undef) {
    my $books = $self->sim->books;
    if (my ($site) = $self->_sites($url)) { return $site->{organisation} }
    if ($self->_own($url)) {
        my $target = Mojo::URL->new($url);
        my $oid    = $target->query->param('oid');
        return $oid if defined $oid && grep { $_ eq $oid } $books->organisations;
        my ($code) = $target->path->to_string =~ m{\A/v2/shop/([\w-]+)};
        my @sold   = defined $code ? $books->package_of_any($code) : ();
        return $sold[0]{organisation} if @sold;
    }
    my @all = $books->organisations;
    return $chosen if defined $chosen && grep { $_ eq $chosen } @all;
    return @all == 1 ? $all[0] : undef;
}

sub _wrong_address { return page(400, 'Wrong address', '<p role="alert">This portal does not lead to that address.</p>') }

# -- login

my %SAY = (
    invalid_credentials => sub ($t) { "Wrong e-mail or password. Attempts left: $t->{raa}." },
    account_frozen      => sub ($t) { "The account is frozen for $t->{frf} seconds." },
    account_not_active  => sub ($t) { 'The account is not activated.' },
);

sub _login_page ($self, $status, $continue, $organisation, $email, $alert, %headers) {
    my $warning = length $alert ? '<p role="alert">' . xml_escape($alert) . '</p>' : '';
    my $choice  = defined $organisation ? '' : join '',
        '<label for="organisation">Organisation</label><select id="organisation" name="organisation">',
        (map { '<option>' . xml_escape($_) . '</option>' } $self->sim->books->organisations), '</select>';
    my ($e, $c) = map { xml_escape($_) } $email, $continue;
    return page($status, 'Log in', <<~"HTML", %headers);
        $warning
        <form method="post" action="/login/index">
        $choice
        <label for="username">E-mail</label>
        <input id="username" name="Username" type="email" autocomplete="username" required value="$e">
        <label for="password">Password</label>
        <input id="password" name="Password" type="password" autocomplete="current-password" required>
        <input type="hidden" name="continue" value="$c">
        <button type="submit">Log in</button>
        </form>
        HTML
}

sub _login_form ($self, $request) {
    my $query    = $request->query_once;
    my $continue = $query->{continue} // '';
    return _wrong_address() if length $continue && !$self->_may_lead_to($continue);
    my $organisation = $self->_organisation($request, $continue);
    my ($browser, %headers) = $self->sim->browser($request);
    my $session = defined $organisation ? $self->sim->books->browser_session($browser, $organisation) : undef;
    return redirect($continue || '/', %headers) if $session && $session->{status} eq 'loggedin';
    return $self->_login_page(200, $continue, $organisation, '', '', %headers);
}

sub _login ($self, $request) {
    my $form     = $request->form_once;
    my $continue = $form->{continue} // '';
    return _wrong_address() if length $continue && !$self->_may_lead_to($continue);
    my $organisation = $self->_organisation($request, $continue, $form->{organisation});
    my $email        = $form->{Username} // '';
    return $self->_login_page(400, $continue, undef, $email, 'Choose an organisation.') unless defined $organisation;

    my $books = $self->sim->books;
    my ($browser, %headers) = $self->sim->browser($request);
    my $tried = $books->check_password($organisation, $email, $form->{Password} // '');
    if ($tried->{err}) {
        return $self->_login_page(403, $continue, $organisation, $email, $SAY{$tried->{err}}->($tried), %headers);
    }
    my $session = $books->browser_session($browser, $organisation) // $books->new_session($organisation, $browser);
    $books->login($session, $tried->{account});
    $request->account($tried->{account}{id});
    return redirect($continue || '/', %headers);
}

# -- my account

# The logged-in sessions of this browser with their accounts, one for each organisation at most.
sub _logged_in ($self, $request) {
    my $books = $self->sim->books;
    return map { [$_, $books->account($_->{organisation}, $_->{account})] }
        grep { $_ && $_->{status} eq 'loggedin' }
        map { scalar $self->sim->browser_session($request, $_) } $books->organisations;
}

sub _account ($self, $request) {
    my @mine = $self->_logged_in($request);
    return page(200, 'My account', '<p>You are not logged in. <a href="/login/index">Log in</a></p>') unless @mine;
    $request->account($mine[0][1]{id});
    my $list = join '', map {
        my $a        = $_->[1];
        my $products = join ', ', @{$a->{products}};
        '<p>' . xml_escape("$a->{email}, $a->{organisation}") . '</p><p>Products: ' . xml_escape($products || 'none')
            . '</p>'
    } @mine;
    return page(200, 'My account',
        "$list<form method=\"post\" action=\"/logout\"><button type=\"submit\">Log out</button></form>");
}

sub _logout ($self, $request) {
    $self->sim->books->terminate($_->[0]) for $self->_logged_in($request);
    return redirect('/');
}

# -- shop

# The package of this address, where its page leads afterwards, and the account if the browser is logged in.
sub _shelf ($self, $request, $return_url) {
    my ($code) = $request->path =~ m{\A/v2/shop/([\w-]+)/?\z};
    my ($site) = $self->_sites($return_url);
    my @sold   = grep { !$site || $_->{organisation} eq $site->{organisation} }
        $self->sim->books->package_of_any($code // '');
    die page(404, 'Not found', '<p>This package is not sold.</p>') unless @sold;
    die _wrong_address() if length $return_url && !$self->_may_lead_to($return_url);
    my $session = $self->sim->browser_session($request, $sold[0]{organisation});
    my $account =
        $session && $session->{status} eq 'loggedin'
        ? $self->sim->books->account($session->{organisation}, $session->{account})
        : undef;
    $request->account($account->{id}) if $account;
    return $sold[0], $account;
}

sub _to_login ($self, $request) {
    my $here = $self->sim->url('portal') . $request->url;
    return Mojo::URL->new('/login/index')->query(continue => $here)->to_string;
}

sub _shop ($self, $request) {
    my $query      = $request->query_once;
    my $return_url = $query->{returnUrl} // '';
    my ($package, $account) = $self->_shelf($request, $return_url);
    my ($name, $description, $back) = map { xml_escape($_) } @$package{qw(name description)}, $return_url;
    unless ($account) {
        my $login = xml_escape($self->_to_login($request));
        return page(200, $package->{name}, "<p>$description</p><p><a href=\"$login\">Log in to buy</a></p>");
    }
    my @periods = grep { $_->{enabled} } @{$package->{periods}};
    my $checked = ' checked';
    my $choices = join '', map {
        my $id   = $_->{id};
        my $text = xml_escape("$_->{price} kr, $_->{iteration_length} $_->{iteration_type}, $_->{type}");
        my $row  = "<label for=\"p$id\"><input type=\"radio\" id=\"p$id\" name=\"period\" value=\"$id\"$checked>$text</label>";
        $checked = '';
        $row
    } @periods;
    return page(200, $package->{name}, <<~"HTML");
        <p>$description</p>
        <form method="post">
        <fieldset><legend>Period</legend>$choices</fieldset>
        <input type="hidden" name="returnUrl" value="$back">
        <button type="submit">Buy</button>
        </form>
        HTML
}

sub _buy ($self, $request) {
    my $form       = $request->form_once;
    my $return_url = $form->{returnUrl} // '';
    my ($package, $account) = $self->_shelf($request, $return_url);
    return redirect($self->_to_login($request)) unless $account;
    my ($period) = grep { $_->{enabled} && $_->{id} eq ($form->{period} // '') } @{$package->{periods}};
    return page(400, $package->{name}, '<p role="alert">Choose a period.</p>') unless $period;
    my $reason = $self->sim->books->may_purchase($account, $package);
    return page(403, $package->{name}, '<p role="alert">You cannot buy this: ' . xml_escape($reason) . '</p>')
        unless $reason eq 'purchase_allowed';
    $self->sim->books->place_order($account, $package, $period, payment_option => 'creditcard', provider => 'portal');
    return redirect($return_url || '/');
}

1;
