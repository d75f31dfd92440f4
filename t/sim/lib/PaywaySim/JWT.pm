package PaywaySim::JWT;

# HS256 and nothing else, both ways (reference 5.4). Reading is split in two because the key is found by a claim:
# unpack first, then verify with the secret of the client that the unverified `cid` names.

use v5.36;
use Digest::SHA  qw(hmac_sha256);
use MIME::Base64 qw(decode_base64url encode_base64url);
use Mojo::JSON   qw(decode_json encode_json);
use Exporter     qw(import);
our @EXPORT_OK = qw(jwt_sign jwt_unpack jwt_verify);

sub jwt_sign ($claims, $secret) {
    my $text = join '.', map { encode_base64url(encode_json($_)) } {typ => 'JWT', alg => 'HS256'}, $claims;
    return $text . '.' . encode_base64url(hmac_sha256($text, $secret));
}

# {header, claims, signed, signature}, or nothing when it is no JWT at all.
sub jwt_unpack ($token) {
    my ($header, $claims, $signature) = $token =~ /\A([\w-]+)\.([\w-]+)\.([\w-]*)\z/a or return;
    my @parts = eval { map { decode_json(decode_base64url($_)) } $header, $claims };
    return unless @parts == 2 && !grep { ref ne 'HASH' } @parts;
    return {header => $parts[0], claims => $parts[1], signed => "$header.$claims", signature => $signature};
}

sub jwt_verify ($jwt, $secret) {
    return ($jwt->{header}{alg} // '') eq 'HS256'
        && $jwt->{signature} eq encode_base64url(hmac_sha256($jwt->{signed}, $secret));
}

1;
