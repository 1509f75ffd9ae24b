# Valkey is as good as Redis: the store's main file with that server.

use v5.28;
use warnings;

use FindBin;
use Test::More;


my $server = 'valkey-server';

plan skip_all => "$server is not installed, and packaged from Debian 13 on"
    if !grep { -x "$_/$server" } split /:/, $ENV{PATH};

$ENV{TEST_REDIS_SERVER} = $server;
exec { $^X } $^X, "$FindBin::Bin/store_redis.t" or die "$^X: $!\n";
