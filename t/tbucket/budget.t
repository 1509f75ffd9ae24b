# A budget that is charged later is overspent by no more than what the requests
# under way have under-estimated; and debt outlives nginx in each store.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients;
use Gateway;
use Test::More;
use Time::HiRes qw(time);

use constant { BUDGET => 2000, RATE => 50, ESTIMATE => 5, PARALLEL => 64 };

my $seed = $ENV{TBUCKET_SEED} // time() % 100_000;
srand($seed);

# what each request costs: up to ten times the estimate

my @cost = map { 1 + int rand(10 * ESTIMATE) } 1 .. 20_000;

my $b = backend(answer => sub { return { delay => 0.05, body => 'x' } });
my $g = gateway(<<"END", workers => 2);
    tbucket_zone all zone=z:1m rate=${\RATE}r/s capacity=${\BUDGET};
    log_format cost '\$arg_c \$status \$tbucket_cost';
    access_log %%DIR%%/logs/cost.log cost;
    tbucket_log_level info;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        location / { tbucket zone=z cost=${\ESTIMATE} settle=\$arg_c;
                     proxy_pass http://${\$b->address}; }
        location /clients { tbucket_api zone=z; }
    }
END

# every answer takes a while, so that as many as possible are under way

my $begin = time();
my $l = load($g, sub { "/?c=$cost[$_[0] % @cost]" }, connections => PARALLEL,
             seconds => 6, timeout => 10);
my $seconds = time() - $begin;

cmp_ok($l->{codes}{200}, '>', PARALLEL, "requests were admitted (seed $seed)");
cmp_ok($l->{codes}{429}, '>', PARALLEL, 'and refused');

# what all of them have really cost, and what was charged

my ($spent, $charged, $admitted) = (0, 0, 0);
for (split /\n/, Gateway::slurp($g->dir . '/logs/cost.log')) {
    my ($cost, $status, $was) = split / /;
    next if $status != 200;
    $admitted++;
    $spent += $cost;
    $charged += $was;
}
is($admitted, $l->{codes}{200}, 'all of them are in the log');
is($charged, $spent, 'each is charged what it has cost');

my $under = PARALLEL * 9 * ESTIMATE;
cmp_ok($spent, '<=', BUDGET + RATE * ($seconds + 0.1) + $under,
       "no more is spent than the budget, its refill and the estimates' error");
cmp_ok($spent, '>=', 0.95 * (BUDGET + RATE * $l->{last} - RATE * $begin) - 50,
       'and no less than the budget');
my ($tokens) = get($g, '/clients/all')->{body} =~ /"tokens":(-?[\d.]+)/;
cmp_ok($tokens, '>=', -$under, 'the debt that is left is not larger');

is($g->quit, 0, 'nginx stops');

# The bucket is never above its capacity, whatever is given back.

$g = gateway(<<'END', workers => 2);
    tbucket_zone all zone=z:1m rate=1r/h capacity=1000;
    access_log off;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        location / { tbucket zone=z cost=$arg_e settle=$arg_c;
                     try_files /none @ok; }
        location @ok { return 204; }
        location /clients { tbucket_api zone=z; }
    }
END
load($g, '/?e=10&c=1', connections => PARALLEL, requests => 500);
($tokens) = get($g, '/clients/all')->{body} =~ /"tokens":(-?[\d.]+)/;
is(sprintf('%.0f', $tokens), 500, 'what is given back is what was too much');
load($g, '/?e=10&c=0', connections => PARALLEL, requests => 500);
($tokens) = get($g, '/clients/all')->{body} =~ /"tokens":(-?[\d.]+)/;
is(sprintf('%.0f', $tokens), 500, 'to the last token');
is($g->quit, 0, 'nginx stops');

# Debt outlives nginx.

my $redis = redis();

for my $store ('sqlite:%%DIR%%/store/clients.db',
               'redis://127.0.0.1:' . $redis->port . ' interval=100ms')
{
    my ($name) = $store =~ /^(\w+)/;
    $g = gateway(<<"END", user => 'root');
        tbucket_zone \$arg_k zone=z:1m rate=1r/h capacity=10;
        tbucket_store $store;
        server {
            listen 127.0.0.1:%%PORT%%;
            root %%DIR%%/html;
            location / { tbucket zone=z cost=1 settle=500;
                         try_files /none \@ok; }
            location \@ok { return 204; }
            location /clients { tbucket_api zone=z write=on; }
        }
END
    ok(wait_for(sub { put($g, 'b', 10, 0.001) < 400 }), "$name: a client");
    is(get($g, "/?k=$_")->{code}, 204, "$name: a request of $_") for qw(a b);
    ok(wait_for(sub {
        2 == grep { get($g, "/clients/$_")->{body} =~ /"tokens":-4\d\d/ }
             qw(a b)
    }), "$name: is in debt");
    is($g->quit, 0, "$name: nginx stops");
    $g->start;
    ok(wait_for(sub {
        2 == grep { (get($g, "/clients/$_")->{body} // '')
                    =~ /"tokens":-4\d\d/ } qw(a b)
    }), "$name: starts, and debt is still there");
    is(get($g, '/?k=a')->{code}, 429, "$name: and refuses");
    unlike($g->log, qr/malformed|invalid|\[(?:alert|emerg|crit)\]/,
           "$name: nothing is wrong in the log");
    is($g->quit, 0, "$name: nginx stops");
}

done_testing();
