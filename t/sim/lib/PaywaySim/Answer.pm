package PaywaySim::Answer;

# What a role says to a request, as plain data: {status, type, body, headers, json}. Roles never touch the socket, so
# a fault can hold an answer back, cut it or spoil it without the role knowing. `json` keeps the structure that `body`
# was written from. A refusal is the same thing on its way up: die with it, and the listener sends it.

use v5.36;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(encode xml_escape);
use Exporter   qw(import);
our @EXPORT_OK = qw(html json page raw_number redirect refuse);

sub json ($status, $data, %headers) {
    return {status => $status, type => 'application/json', json => $data, body => to_json($data),
        headers => {%headers}};
}

# A number that keeps its digits in JSON, such as 210.00; Perl would write 210.
sub raw_number ($digits) { return "\x{1}$digits\x{1}" }

sub to_json ($data) {
    return encode_json($data) =~ s/"\\u0001([0-9.]+)\\u0001"/$1/gr;
}

sub html ($status, $text, %headers) {
    return {status => $status, type => 'text/html; charset=utf-8', body => encode('UTF-8', $text),
        headers => {%headers}};
}

# `$body` is markup; whatever it shows must be escaped already.
sub page ($status, $title, $body, %headers) {
    my $t = xml_escape($title);
    return html($status, <<~"HTML", 'Cache-Control' => 'no-store', %headers);
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>$t - Payway simulator</title>
        <style>body{font:1rem/1.5 sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem}
        label,input,button{font:inherit;display:block}input{width:100%;box-sizing:border-box;margin-bottom:1rem}
        input[type=radio]{display:inline;width:auto;margin:0 .5rem 0 0}label{margin-top:.5rem}
        button{padding:.5rem 1rem;margin-top:1rem}[role=alert]{border:2px solid #a00;padding:.5rem}</style>
        </head>
        <body>
        <main>
        <h1>$t</h1>
        $body
        </main>
        </body>
        </html>
        HTML
}

sub redirect ($url, %headers) {
    return {status => 302, type => undef, body => '', headers => {Location => "$url", %headers}};
}

# The documented error body: message, usually code, field when one is at fault (reference 2.4).
sub refuse ($status, $code, $message, $field = undef) {
    die json($status, {code => $code, message => $message, defined $field ? (field => $field) : ()});
}

1;
