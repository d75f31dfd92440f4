package PaywaySim::Random;

use v5.36;
use Exporter qw(import);
our @EXPORT_OK = qw(random_hex random_uuid);

open my $source, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";

sub random_hex ($digits) {
    read $source, my $bytes, ($digits + 1) / 2 or die "/dev/urandom: $!\n";
    return substr unpack('H*', $bytes), 0, $digits;
}

# Version 4, as Klarna's ids are.
sub random_uuid {
    my @hex = split //, random_hex(32);
    @hex[12, 16] = (4, substr '89ab', hex($hex[16]) % 4, 1);
    return join('', @hex) =~ s/\A(.{8})(.{4})(.{4})(.{4})/$1-$2-$3-$4-/r;
}

1;
