package PaywaySim::Seed;

# Reads what the simulator starts with. A mistake in a seed is found here, with its place, and not by a test that
# wonders later.

use v5.36;
use Mojo::URL;
use PaywaySim::Random qw(random_hex);
use Exporter          qw(import);
our @EXPORT_OK = qw(seed_account seed_client seed_package read_seed);

my %KEYS = (
    seed         => [qw(organisations clients accounts packages campaigns titles)],
    organisation => [qw(id name)],
    client       => [qw(id secret organisation scopes redirect_uri sso2 offline_access)],
    account      => [qw(id organisation email password first_name last_name products packages articles status verified
        customer_number mobile_phone_number birth_date social_security_number address)],
    package => [qw(id code organisation name description title_code products periods tags active trial valid_from valid_to)],
    period  => [qw(id type enabled iteration_type iteration_length price payment_method)],
    title   => [qw(code organisation name url)],
);

my %IS_ONE_OF = (
    status         => [qw(active not_active)],
    type           => [qw(limited recurring single)],
    iteration_type => [qw(day week month year)],
);

sub bad ($where, $why) { die "seed: $where: $why\n" }

sub known ($kind, $where, $thing) {
    bad($where, 'must be an object') unless ref $thing eq 'HASH';
    my %ok = map { ($_ => 1) } @{$KEYS{$kind}};
    my @unknown = grep { !$ok{$_} } sort keys %$thing;
    bad($where, "unknown: @unknown (known: @{$KEYS{$kind}})") if @unknown;
    for my $name (grep { defined $thing->{$_} } sort keys %IS_ONE_OF) {
        bad($where, "$name must be one of @{$IS_ONE_OF{$name}}")
            unless grep { $_ eq $thing->{$name} } @{$IS_ONE_OF{$name}};
    }
    return {%$thing};
}

sub needs ($where, $thing, @names) {
    for my $name (@names) {
        bad($where, "$name is missing") unless defined $thing->{$name} && length $thing->{$name};
    }
}

sub list_of_codes ($where, $thing, @names) {
    for my $name (@names) {
        my $list = $thing->{$name} // [];
        bad($where, "$name must be a list of codes")
            unless ref $list eq 'ARRAY' && !grep { ref || !/\A[\w-]+\z/a } @$list;
        $thing->{$name} = [@$list];
    }
}

sub hex_id ($where, $thing) {
    $thing->{id} //= random_hex(24);
    bad($where, "id must be 24 hex digits: $thing->{id}") unless $thing->{id} =~ /\A[a-f\d]{24}\z/a;
}

sub check_url ($where, $url) {
    bad($where, "not an absolute http(s) URL: $url") unless Mojo::URL->new($url)->to_string =~ m{\Ahttps?://[^/]+};
}

sub seed_client ($where, $client) {
    my $c = known(client => $where, $client);
    needs($where, $c, qw(id secret organisation));
    $c->{scopes} //= [];
    bad($where, 'scopes must be a list') unless ref $c->{scopes} eq 'ARRAY';
    check_url($where, $c->{redirect_uri}) if defined $c->{redirect_uri};
    $c->{$_} = $c->{$_} ? 1 : 0 for qw(sso2 offline_access);
    return $c;
}

sub seed_account ($where, $account) {
    my $a = known(account => $where, $account);
    needs($where, $a, qw(organisation email password));
    hex_id($where, $a);
    list_of_codes($where, $a, qw(products packages));
    $a->{status}   //= 'active';
    $a->{articles} //= [];
    bad($where, 'address must be an object') if defined $a->{address} && ref $a->{address} ne 'HASH';
    return $a;
}

sub seed_package ($where, $kind, $package) {
    my $p = known(package => $where, $package);
    needs($where, $p, qw(organisation code));
    hex_id($where, $p);
    list_of_codes($where, $p, qw(products));
    $p->{kind} = $kind;
    $p->{name}        //= $p->{code};
    $p->{description} //= '';
    $p->{tags}        //= [];
    $p->{active} = !exists $p->{active} || $p->{active} ? 1 : 0;
    $p->{trial}  = $p->{trial} ? 1 : 0;
    my @periods = map { known(period => "$where, period", $_) } @{$p->{periods} // []};
    for my $period (@periods) {
        hex_id("$where, period", $period);
        needs("$where, period $period->{id}", $period, qw(price));
        $period->{type}             //= 'recurring';
        $period->{iteration_type}   //= 'month';
        $period->{iteration_length} //= 1;
        $period->{payment_method}   //= 'klarna_payments';
        $period->{enabled} = !exists $period->{enabled} || $period->{enabled} ? 1 : 0;
        bad("$where, period $period->{id}", 'a campaign period is always recurring')
            if $kind eq 'campaign' && $period->{type} ne 'recurring';
    }
    $p->{periods} = \@periods;
    return $p;
}

# Everything that the seed names, checked and with defaults filled in.
sub read_seed ($given) {
    my $seed = known(seed => 'top level', $given);
    my %list = map { ($_ => $seed->{$_} // []) } @{$KEYS{seed}};
    for my $name (sort keys %list) {
        bad($name, 'must be a list') unless ref $list{$name} eq 'ARRAY';
    }
    my @organisations = map { known(organisation => 'organisations', $_) } @{$list{organisations}};
    needs('organisations', $_, 'id') for @organisations;
    my @clients  = map { seed_client('clients', $_) } @{$list{clients}};
    my @accounts = map { seed_account('accounts', $_) } @{$list{accounts}};
    my @packages = (
        (map { seed_package('packages',  'package',  $_) } @{$list{packages}}),
        (map { seed_package('campaigns', 'campaign', $_) } @{$list{campaigns}}),
    );
    my @titles = map { known(title => 'titles', $_) } @{$list{titles}};
    needs('titles', $_, qw(code organisation name)) for @titles;

    my %known = map { ($_->{id} => 1) } @organisations;
    for my $thing (@clients, @accounts, @packages, @titles) {
        bad($thing->{id} // $thing->{code}, "no organisation $thing->{organisation}")
            unless $known{$thing->{organisation}};
    }
    unique('client', map { $_->{id} } @clients);
    unique('account', map { $_->{id} } @accounts);
    unique('account e-mail', map {"$_->{organisation}^" . lc $_->{email}} @accounts);
    unique('package or campaign', map {"$_->{organisation} $_->{code}"} @packages);
    return {
        organisations => \@organisations,
        clients       => \@clients,
        accounts      => \@accounts,
        packages      => \@packages,
        titles        => \@titles,
    };
}

sub unique ($what, @ids) {
    my %seen;
    $seen{$_}++ and bad($what, "given twice: $_") for @ids;
}

1;
