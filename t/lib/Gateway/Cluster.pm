=head1 NAME

Gateway::Cluster - clusters of Redis for tests

=head1 SYNOPSIS

    my @r = cluster();                  # three masters, three replicas
    my ($master, @others) = master_of($slot, @r);
    move_slot($slot, $from, $to);       # with its keys

=cut

package Gateway::Cluster;

use v5.28;
use warnings;

use Exporter 'import';
use Gateway;

our @EXPORT = qw(cluster cluster_url master_of move_slot);


# Options are settings of redis.conf.

sub cluster
{
    my (%option) = @_;

    my @r = map { redis('cluster-enabled' => 'yes',
                        'cluster-port' => free_port(),
                        'cluster-node-timeout' => 1500, %option) } 1 .. 6;
    my $out = $r[0]->dir . '/create';
    my $port = $r[0]->port;

    system('redis-cli --cluster create '
           . join(' ', map { '127.0.0.1:' . $_->port } @r)
           . " --cluster-replicas 1 --cluster-yes >$out 2>&1") == 0
        or die "redis-cli failed, see $out\n";

    wait_for(sub {
        3 == grep { $_->command('CLUSTER', 'INFO') =~ /cluster_state:ok/
                    && @{ $_->command('ROLE')->[2] // [] } == 1 }
             grep { $_->command('ROLE')->[0] eq 'master' } @r
    }, 30) or die "the cluster does not come up\n";

    return @r;
}

# Who serves a slot, who does not, and the master's replica.

sub master_of
{
    my ($slot, @r) = @_;

    my (@other, $master);

    for my $r (@r) {
        next if (eval { $r->command('ROLE')->[0] } // '') ne 'master';
        my ($own) = grep { /myself/ }
                    split /\n/, $r->command('CLUSTER', 'NODES');
        my @range = (split ' ', $own)[8 .. 30];
        if (grep { defined && /^(\d+)(?:-(\d+))?$/ && $1 <= $slot
                   && $slot <= ($2 // $1) } @range)
        {
            $master = $r;
        } else {
            push @other, $r;
        }
    }

    return ($master, @other);
}

sub move_slot
{
    my ($slot, $from, $to) = @_;

    my ($a, $b) = map { $_->command('CLUSTER', 'MYID') } $from, $to;

    $to->command('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $a);
    $from->command('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $b);
    while (my @keys = @{ $from->command('CLUSTER', 'GETKEYSINSLOT', $slot,
                                        10) })
    {
        $from->command('MIGRATE', '127.0.0.1', $to->port, $_, 0, 5000)
            for @keys;
    }
    $_->command('CLUSTER', 'SETSLOT', $slot, 'NODE', $b) for $to, $from;
}


# Where a store finds it.

sub cluster_url
{
    return 'redis+cluster://' . join(',', map { '127.0.0.1:' . $_->port } @_);
}


1;
