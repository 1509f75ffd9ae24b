# Workers that are killed under load leave the limit exact and nothing stuck.
# TBUCKET_KILL_SECONDS runs it longer.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{TBUCKET_KILL_SECONDS} // 5;

# "one" is asked for by all the time; "many" is a zone too small for its keys,
# so that inserts and displacements go on whenever a worker dies

my $g = gateway(<<'END', workers => 3, log_level => 'notice');
    tbucket_zone all zone=one:64k rate=100r/s capacity=20;
    tbucket_zone $arg_key zone=many:64k rate=1r/h capacity=1;
    tbucket_refill 10ms;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        access_log off;
        tbucket_log_level info;
        location = /one { tbucket zone=one; try_files /none @ok; }
        location = /many { tbucket zone=many; try_files /none @ok; }
        location @ok { return 204; }
    }
END

is(get($g, '/many?key=drained')->{code}, 204, 'a client drains its bucket');

my ($killed, $freed, %code) = (0, 0);
my ($next, $slow, $last) = (time() + 0.2, 0);

my $l = load($g, sub {
    my ($i) = @_;

    if (time() > $next) {
        my @workers = $g->workers;
        $killed += kill('KILL', $workers[rand @workers]) if @workers;
        $next = time() + 0.2;
    }

    return $i % 64 == 0 ? '/many?key=drained'
         : $i % 2       ? '/one' : "/many?key=$i";

}, connections => 64, seconds => $seconds, timeout => 10, each => sub {
    my ($r, $i) = @_;

    # what "one" earned while its bucket was full, because nobody asked

    my $now = time();
    $slow += $now - $last if $i % 2 && $last && $now - $last > 0.1;
    $last = $now if $i % 2;

    $code{one}{ $r->{code} }++ if $i % 2;
    $code{many}{ $r->{code} }++ if $i % 2 == 0 && $i % 64;
    $freed++ if $i % 64 == 0 && $r->{code} == 204;
});

cmp_ok($killed, '>=', $seconds, "workers were killed: $killed");
cmp_ok($l->{codes}{429}, '>', 100, 'most of the load was answered');
ok(!grep({ !/^(?:0|204|429)$/ } keys %{ $l->{codes} }),
   'with admissions and refusals, but for what a kill cut off')
    or diag(explain($l->{codes}));

# what a kill cut off may have been admitted

cmp_ok($code{one}{204}, '<=', 20 + 100 * ($l->{seconds} + 0.001),
       'one: no more than the limit');
cmp_ok($code{one}{204} + ($code{one}{0} // 0), '>=',
       0.9 * (20 + 100 * ($l->{seconds} - $slow)) - 20,
       'one: and as much as it allows');
is($freed, 0, 'the drained client stays refused');
cmp_ok($code{many}{204}, '<=', 64 * 1024 / 32,
       'many: no more than the zone has tokens');

is($g->wait_workers(3), 3, 'all workers run again');

# what is left is exact: nothing is locked, and refills go on

ok(wait_for(sub { get($g, '/one')->{code} == 204 }), 'one: it refills');

for my $try (1 .. 5) {
    $l = load($g, '/one', connections => 64, seconds => 1);
    cmp_ok($l->{codes}{204}, '<=', 20 + 100 * ($l->{seconds} + 0.001),
           'one: no more than the limit afterwards');
    last if $l->{codes}{204} >= 100 * 0.95;
}
cmp_ok($l->{codes}{204}, '>=', 100 * 0.95, 'one: and as much as it allows');
is(get($g, '/many?key=drained')->{code}, 429, 'the drained client is refused');

ok($g->reload, 'a reload works');
is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/exited on signal (?!9\b)|\[emerg\]|shared memory zone .* was locked(?!.*\d)/,
       'nobody died of anything else');

done_testing();
