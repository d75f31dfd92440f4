package PaywaySim::Random;

use v5.36;
use Exporter qw(import);
our @EXPORT_OK = qw(random_hex);

open my $source, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";

sub random_hex ($digits) {
    read $source, my $bytes, ($digits + 1) / 2 or die "/dev/urandom: $!\n";
    return substr unpack('H*', $bytes), 0, $digits;
}

1;
