package PWK::Sale;

# Buying as a browser does, step by step, with what a test wants to know of each.
#
#     my $sale = PWK::Sale->new(sim => $sim, client => $client);
#     my $page = $sale->press('/premium/a.html');            # wall, button; comes to rest on the purchase page
#     my $answer = $sale->authorize($page);                  # Klarna approves, the form is sent; nothing is followed
#     my $confirmation = $client->follow($answer);

use v5.36;
use Carp         qw(croak);
use JSON::PP     ();
use MIME::Base64 qw(decode_base64url);
use PWK::Test    ();

sub new ($class, %with) { return bless {%with}, $class }

sub client ($self) { return $self->{client} }

# Another browser with the same cookies.
sub twin ($self) { return ref($self)->new(%$self, client => $self->{client}->twin) }

# The value of a hidden field, or of the attribute `$attribute`, on a page.
sub field ($page, $name) {
    for my $input ($page->body =~ /(<input\b[^>]*>)/g) {
        next unless $input =~ /\bname="\Q$name\E"/;
        return PWK::Test::unescape($1) if $input =~ /\bvalue="([^"]*)"/;
        return '';
    }
    return;
}

sub attribute ($page, $name) {
    return $page->body =~ /\b\Q$name\E="([^"]*)"/ ? PWK::Test::unescape($1) : undef;
}

# The fields of the form of `offer` on a page with offers.
sub form ($page, $offer = 'digital') {
    my ($form) = $page->body =~ m{(<li\b[^>]*data-offer="\Q$offer\E".*?</form>)}s or croak "no offer $offer at " . $page->url;
    my %field = map { ($_ => $form =~ /name="$_" value="([^"]*)"/ ? PWK::Test::unescape($1) : '') } qw(sale offer csrf);
    $field{period} = $1 if $form =~ /name="period"[^>]*value="([^"]+)"/;
    return %field;
}

# The wall of `path`, or the page itself, and the button of `offer`; the answer as it came.
sub buy ($self, $path, $offer = 'digital', %change) {
    my $client = $self->client;
    my $wall   = ref $path ? $path : $client->follow($client->navigate($path));
    my %form   = (form($wall, $offer), %change);
    return $client->post_form('/payway/buy', {map { defined $form{$_} ? ($_ => $form{$_}) : () } keys %form});
}

# The same, followed to where it comes to rest.
sub press ($self, $path, $offer = 'digital', %change) {
    return $self->client->follow($self->buy($path, $offer, %change));
}

sub id ($page) { return $page->url =~ m{/payway/(?:purchase|confirm)/([0-9a-f]{32})} ? $1 : undef }

# The Klarna session that the page's widget is told of.
sub session ($page) {
    my $token = attribute($page, 'data-client-token') // croak 'no client token at ' . $page->url . ' (' . $page->status . ')';
    return JSON::PP->new->utf8->decode(decode_base64url((split /\./, $token)[1]))->{session_id};
}

# What the page's form posts once Klarna has given `token`.
sub authorization ($page, $token) {
    return {csrf => field($page, 'csrf'), klarna_authorization_token => $token};
}

sub authorize ($self, $page, %with) {
    my $token = $with{token} // $self->{sim}->authorize(session($page), category => $with{category} // 'pay_now');
    return $self->client->post_form('/payway/authorize/' . id($page), authorization($page, $token));
}

# From the wall to where the buyer comes to rest.
sub whole ($self, $path, $offer = 'digital', %with) {
    my $page = $self->press($path, $offer);
    return $self->client->follow($self->authorize($page, %with));
}

sub state ($self, $id) {
    my $answer = $self->client->get("/payway/purchase/$id/state");
    return $answer->status == 200 ? $answer->json : {state => 'status ' . $answer->status};
}

1;
