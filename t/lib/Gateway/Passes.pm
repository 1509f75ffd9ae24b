package Gateway::Passes;

=head1 NAME

Gateway::Passes - how long a worker is busy between two looks at its events

=head1 SYNOPSIS

    my $passes = Gateway::Passes->new or plan(skip_all => ...);
    my $g = gateway(..., workers => 1, $passes->options);

    my ($longest, $sum, $number) = $passes->read;     # and begin anew

=head1 DESCRIPTION

In ms of the processor's time, by what "make bench" measures them with.  There
is none for an nginx that is started with a library of its own before others.

=cut

use v5.28;
use warnings;

use File::Basename qw(dirname);

use Gateway::Process qw(temp_dir);


sub new
{
    my ($class) = @_;

    return if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan|valgrind/;

    my $self = bless { dir => temp_dir() }, $class;

    system($ENV{CC} || 'cc', '-O2', '-shared', '-fPIC', '-o',
           "$self->{dir}/passes.so",
           dirname(__FILE__) . '/../../../bench/lib/passes.c', '-ldl') == 0
        or die "passes.c does not compile\n";

    return $self;
}


sub options
{
    my ($self) = @_;

    return (env => { LD_PRELOAD => "$self->{dir}/passes.so",
                     PASSES => "$self->{dir}/passes" });
}


sub read
{
    my ($self) = @_;

    open(my $file, '+<:raw', "$self->{dir}/passes")
        or die "$self->{dir}/passes: $!\n";

    sysread($file, my $figures, 24);
    sysseek($file, 0, 0);
    syswrite($file, pack('ddQ', 0, 0, 0));

    return unpack('ddQ', $figures);
}


1;
