# The limit is exact: many connections, several workers, one client, several
# rates; through reloads as well.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes ();

my @rates = (
    # rate, capacity, tokens a second, name
    ['0.5r/s',   1,     0.5],
    ['300r/m',   3,     5],
    ['7.3r/s',   8,     7.3],
    ['180000r/h', 20,   50],
    ['500r/s',   50,    500],
    ['3000r/s',  300,   3000],
);

my $i = 0;
my $text = join '', map {
    my ($rate, $capacity) = @$_;
    $i++;
    "tbucket_zone all zone=z$i:64k rate=$rate capacity=$capacity;\n"
} @rates;

$text .= "server { listen 127.0.0.1:%%PORT%%;\n"
         . "root %%DIR%%/html; access_log off; tbucket_log_level info;\n"
         . join('', map { "location = /z$_ { tbucket zone=z$_; "
                          . "try_files /none \@ok; }\n" } 1 .. @rates)
         . "location \@ok { return 204; }\n}\n";

my $g = gateway($text, workers => 3, log_level => 'warn');


sub exact
{
    my ($l, $rate, $capacity, $persec) = @_;

    my $ok = $l->{codes}{204} // 0;

    # the time that the first decision had been made by is not known, but
    # lies between the start and the first answer; the same at the end

    my $most  = $capacity + $persec * ($l->{seconds} + 0.001);
    my $least = $persec * ($l->{last_sent} - $l->{first_back} - 0.001) * 0.999
                - 1;

    cmp_ok($ok, '<=', $most, "$rate: no more than the limit");

    SKIP: {
        skip('the machine is too slow to ask for all of it', 2)
            if !asked_for_all($l, $capacity, $persec);

        cmp_ok($ok, '>=', $least, "$rate: and 99.9 % of it");
        cmp_ok($l->{total}, '>', $ok, "$rate: the others were refused");
    }

    is($ok + ($l->{codes}{429} // 0), $l->{total}, "$rate: with 429");
}


# A bucket that fills up earns nothing.  It has not been full when a request
# was refused within any half of the time that it takes to fill; a load that is
# held up, or too weak, says nothing about the least and is tried again.

my $TRIES = 6;

sub asked_for_all
{
    my ($l, $capacity, $persec) = @_;

    return $l->{gap} < 0.5 * $capacity / $persec;
}


sub timed_load
{
    my ($uri, @o) = @_;

    my ($first_back, $last_sent, $last_back);
    my $refused = Time::HiRes::time();
    my $gap     = 0;

    my $l = load($g, sub { $last_sent = Time::HiRes::time();
                           return ref $uri ? $uri->($last_sent) : $uri },
                 @o, each => sub {
        $last_back = Time::HiRes::time();
        $first_back //= $last_back;
        return if $_[0]{code} != 429;
        $gap = $last_back - $refused if $last_back - $refused > $gap;
        $refused = $last_back;
    });

    $gap = $last_back - $refused if $last_back - $refused > $gap;
    @$l{qw(first_back last_sent gap)} = ($first_back, $last_sent, $gap);

    return $l;
}


for my $n (1 .. @rates) {
    my ($rate, $capacity, $persec) = @{ $rates[$n - 1] };
    my $l;

    # new buckets are full, and the measurement begins with an empty one

    $l = load($g, "/z$n", connections => 64,
              requests => 2 * $capacity + 64);
    cmp_ok($l->{codes}{204}, '>=', $capacity, "$rate: a new bucket is full");

    for my $try (1 .. $TRIES) {
        $l = timed_load("/z$n", connections => 64, seconds => 1.2);
        last if asked_for_all($l, $capacity, $persec);
    }

    exact($l, $rate, $capacity, $persec);
}

subtest 'with a reload every now and then' => sub {
    my ($l, $ok, $reloads);

    for my $try (1 .. $TRIES) {
        my $next = Time::HiRes::time() + 0.3;
        $reloads = 0;

        $l = timed_load(sub {
            my ($now) = @_;
            if ($now > $next) {
                kill('HUP', $g->pid);
                $reloads++;
                $next = $now + 0.5;
            }
            return '/z5';
        }, connections => 32, seconds => 2.5, retry => 1);

        # the bucket has been refilling since it was drained

        $ok = $l->{codes}{204} // 0;
        cmp_ok($ok, '<=', 50 + 500 * ($l->{seconds} + 0.001),
               'no more than the limit');
        is($ok + ($l->{codes}{429} // 0), $l->{total}, 'no request is lost');

        last if asked_for_all($l, 50, 500) && $reloads >= 3;
    }

    SKIP: {
        skip('the machine is too slow to ask for all of it', 1)
            if !asked_for_all($l, 50, 500);

        cmp_ok($ok, '>=',
               500 * ($l->{last_sent} - $l->{first_back} - 0.001) * 0.999 - 1,
               '99.9 % of the limit');
    }

    cmp_ok($reloads, '>=', 3, 'through several reloads');
};

subtest 'with timer_resolution' => sub {
    my $coarse = gateway($text, main => 'timer_resolution 1s;',
                         log_level => 'warn');
    my $l;

    for my $try (1 .. $TRIES) {
        $l = load($coarse, '/z5', connections => 8, seconds => 1.2);
        cmp_ok($l->{codes}{204}, '<=', 50 + 500 * ($l->{seconds} + 0.001),
               'no more than the limit');
        last if $l->{codes}{204} >= 50 + 500 * 1.1;
        Time::HiRes::sleep(0.2);
    }

    SKIP: {
        skip('the machine is too slow to ask for all of it', 1)
            if $l->{total} < 2000;

        cmp_ok($l->{codes}{204}, '>=', 50 + 500 * 1.1, 'and no less');
    }
};

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit|error)\]|exited on signal/,
       'with nothing worse than warnings in its log');

done_testing();
