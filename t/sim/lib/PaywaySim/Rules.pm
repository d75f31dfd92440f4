package PaywaySim::Rules;

# What the value of a parameter must look like (reference 2.2 and 2.4). A query gives strings only; in JSON the type
# counts as well. Messages are the documented ones where they are known.

use v5.36;
no warnings 'experimental::builtin';
use builtin qw(created_as_number);
use Mojo::JSON;
use Socket qw(AF_INET AF_INET6 inet_pton);
use PaywaySim::Answer qw(refuse);
use Exporter qw(import);
our @EXPORT_OK = qw(check_params check_value is_boolean is_ip is_number is_string is_url);

sub is_boolean ($v) { return ref $v eq 'JSON::PP::Boolean' }
sub is_number ($v)  { return defined $v && !ref $v && created_as_number($v) }
sub is_string ($v)  { return defined $v && !ref $v && !created_as_number($v) }
sub is_ip ($v) { return defined inet_pton(AF_INET, $v) || defined inet_pton(AF_INET6, $v) }
sub is_url ($v) { return $v =~ m{\Ahttps?://[^\s/?#\\]+(?:[/?#][!-~]*)?\z}ai }

my %TYPE = (
    id     => {pattern => qr/\A[a-fA-F\d]{24}\z/a,                  format => '/^[a-f\d]{24}$/'},
    code   => {pattern => qr/\A[a-zA-Z_0-9-]+\z/a,                  format => '/^[a-zA-Z-_0-9]+$/'},
    email  => {pattern => qr/\A[^\s@]+@[^\s@]+\z/,                  format => 'e-mail address'},
    date   => {pattern => qr/\A\d{4}-\d\d-\d\d\z/a,                 format => 'YYYY-MM-DD'},
    order  => {pattern => qr/\A[A-Z0-9_-]+-\d+\z/a,                 format => 'ORGANISATION-NUMBER'},
    text   => {pattern => qr/\S/,                                   format => 'text'},
    flag   => {pattern => qr/\A(?:true|false)\z/,                   format => 'true or false'},
    count  => {pattern => qr/\A\d{1,9}\z/a,                         format => 'number'},
    ip     => {test    => \&is_ip,                                  format => 'IP address'},
    url    => {test    => \&is_url,                                 format => 'absolute http(s) URL'},
    word   => {pattern => qr/\A(?:limited|recurring)\z/,            format => 'limited or recurring'},
    ref    => {test    => sub ($v) { $v =~ /\A[a-zA-Z_0-9-]+\z/a || is_url($v) }, format => 'code or URL'},
    source => {pattern => qr{\A[^<>{}()/\\]*\z},                    format => 'text without <>{}()/\\'},
);

sub check_value ($name, $rule, $value, $from) {
    return _check_object($name, $rule, $value, $from) if $rule->{type} eq 'object';
    my $type = $TYPE{$rule->{type}} // die "no rule for type $rule->{type}\n";
    my $bad  = sub ($why) { refuse(400, 'invalid_parameter', $why, $name) };
    if ($from eq 'json') {
        my $right =
              $rule->{type} eq 'flag'  ? is_boolean($value)
            : $rule->{type} eq 'count' ? is_number($value)
            :                            is_string($value);
        $bad->("Parameter must be of type $rule->{type}") unless $right;
        return $value ? 1 : 0 if $rule->{type} eq 'flag';
    }
    $bad->("Parameter must match format ($type->{format})")
        unless $type->{test} ? $type->{test}->($value) : $value =~ $type->{pattern};
    return $value eq 'true' ? 1 : 0 if $rule->{type} eq 'flag';
    my $size = $rule->{type} eq 'count' ? $value : length $value;
    $bad->("Parameter must be between $rule->{min} and $rule->{max}")
        if defined $rule->{max} && ($size < $rule->{min} || $size > $rule->{max});
    return $value;
}

# An object within the body; its fields are named with a dot.
sub _check_object ($name, $rule, $value, $from) {
    refuse(400, 'invalid_parameter', 'Parameter must be of type object', $name) unless ref $value eq 'HASH';
    my %inner = map { ("$name.$_" => $value->{$_}) } keys %$value;
    my %rules = map { ("$name.$_" => $rule->{fields}{$_}) } keys %{$rule->{fields}};
    my $found = check_params(\%rules, \%inner, $from);
    return {map { (substr($_, length "$name.") => $found->{$_}) } keys %$found};
}

# Checks what was given against {name => {type, required, min, max, default, fields}} and returns the values with
# defaults filled in. `one_of` is a list of names of which exactly one must be there.
sub check_params ($rules, $given, $from, $one_of = []) {
    my @unknown = grep { !exists $rules->{$_} } sort keys %$given;
    refuse(400, 'unknown_parameter', 'Unknown parameters: ' . join(',', @unknown)) if @unknown;
    my %checked;
    for my $name (sort keys %$rules) {
        my $rule = $rules->{$name};
        if (exists $given->{$name}) {
            $checked{$name} = check_value($name, $rule, $given->{$name}, $from);
        }
        elsif ($rule->{required}) {
            refuse(400, 'invalid_parameter', 'Parameter is required', $name);
        }
        elsif (exists $rule->{default}) {
            $checked{$name} = $rule->{default};
        }
    }
    if (@$one_of) {
        my @there = grep { exists $given->{$_} } @$one_of;
        refuse(400, 'invalid_parameter', 'Parameter is required', $one_of->[0]) unless @there;
        refuse(400, 'invalid_parameter', 'Give only one of ' . join(', ', @$one_of), $there[1]) if @there > 1;
    }
    return \%checked;
}

1;
