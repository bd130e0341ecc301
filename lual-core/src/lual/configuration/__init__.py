"""What an application says to lual, checked as a whole before any of it is applied."""
