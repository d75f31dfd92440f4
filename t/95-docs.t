#!/usr/bin/perl

# What is written about the module is what the module is.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Server;
use PWK::Test;

my $src = $PWK::Server::SRCDIR;
my @docs = ("$src/README.md", glob "'$src'/docs/*.md '$src'/conf/payway_klarna.conf");
my $written = PWK::Server::slurp("$src/docs/directives.md");
my %directive = map { ($_ => 1) } PWK::Server::slurp("$src/src/httpd/pwk_directives.c") =~ /AP_INIT_\w+\(\s*"(Payway\w+)"/g;
ok keys %directive > 30, 'the table of directives was read';

for my $name (qw(directives.md log-messages.md)) {
    my $now = `$^X '$src/docs/directives' --print $name`;
    is $now, PWK::Server::slurp("$src/docs/$name"), "docs/$name is what `make docs` writes";
}
is_deeply [sort keys %directive], [sort $written =~ /^\| `(Payway\w+)`/mg], 'the reference has each directive of the table, and no other';

for my $file (@docs) {
    my $text = PWK::Server::slurp($file);
    my @stranger = grep { !$directive{$_} } $text =~ /\b(Payway[A-Z]\w+)/g;
    is_deeply \@stranger, [], substr($file, 1 + length $src) . ' names no directive that is not there';
}

# Variables: those that the code sets are those that docs/pages.md lists; those that templates use are set by somebody.
my $code = join '', map { PWK::Server::slurp($_) } glob "'$src'/src/core/pwk_facts.c '$src'/src/httpd/*.c";
my %set = map { ($_ => 1) } $code =~ /"((?:PAYWAY|OFFER|PERIOD|LANGUAGE|LOGIN|LOGOUT|ERROR|PURCHASE|CATEGORY)(?:_[A-Z_]+)?)"/g;
my %listed = map { ($_ => 1) } PWK::Server::slurp("$src/docs/pages.md") =~ /`((?:PAYWAY|OFFER|PERIOD|LANGUAGE|LOGIN|LOGOUT|ERROR|PURCHASE|CATEGORY)(?:_[A-Z_]+)?)`/g;
delete @set{qw(PAYWAY_ACCOUNT PAYWAY_PRODUCT PAYWAY_PROTECT)};    # for content, not for pages
is_deeply [sort keys %listed], [sort keys %set], 'docs/pages.md lists the variables that are set';
my @used = map { PWK::Server::slurp($_) =~ /\b(?:v\('|var="|\$\{)((?:PAYWAY|OFFER|PERIOD|LANGUAGE|LOGIN|LOGOUT|ERROR|PURCHASE|CATEGORY)(?:_[A-Z_]+)?)\b/g } glob "'$src'/conf/pages/*.shtml";
ok @used > 50, 'the templates were read';
my %own = map { ($_ => 1) } map { PWK::Server::slurp($_) =~ /#set var="(\w+)"/g } glob "'$src'/conf/pages/*.shtml";
my %unset = map { ($_ => 1) } grep { !$set{$_} && !$own{$_} } @used;
is_deeply [sort keys %unset], [], 'and templates use no other';

done_testing;
