# conf/snippets/json-log.conf: each line is JSON, whatever a client sends, and
# holds no API key.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use JSON::PP;
use Test::More;

my $g = gateway(<<"END");
    include $FindBin::Bin/../conf/snippets/json-log.conf;
    access_log %%DIR%%/logs/access.json json;
    tbucket_zone \$http_x_api_key zone=z:1m rate=1r/h capacity=2;
    server { listen 127.0.0.1:%%PORT%%;
             location / { tbucket zone=z; try_files /none =204; } }
END

my %header = (headers => { 'X-API-Key' => 'very-secret' });

get($g, '/', %header) for 1 .. 3;
get($g, '/%22quoted%22%0a%ff');
$g->quit;

open(my $in, '<', $g->dir . '/logs/access.json') or die "access.json: $!\n";
my @lines = <$in>;
close($in);

my @all = map { JSON::PP->new->latin1->decode($_) } @lines;

is(scalar @all, 4, 'a line for each request');
is(join(' ', map { $_->{status} } @all), '204 204 429 204', 'statuses');

my @limits = map { $_->{limit} } @all;

is(join(' ', map { $_->{status} || '-' } @limits),
   'PASSED PASSED REJECTED -', 'decisions');
is(join(' ', map { $_->{remaining} } @limits[0 .. 2]), '1 0 0', 'tokens');
like($limits[2]{retry_after}, qr/^\d+$/, 'time to wait');
like($limits[0]{client_hash}, qr/^[0-9a-f]{16}$/, 'the client is a hash');
is($limits[0]{client_hash}, $limits[2]{client_hash}, 'always the same one');
is($limits[3]{zone}, '', 'who is not limited has none of it');
like($all[3]{uri}, qr/^\/"quoted"\n/, 'quotes and the like come through');
unlike(join('', @lines), qr/secret/, 'no API key in the log');

done_testing();
